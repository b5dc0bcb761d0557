// What the forward and the backward pass of mLSTM share, once per instruction set: the gates of a
// chunk, its scores, and where things stand.
//
// With b_t the sum of ln σ(f) from the chunk's start to token t, a_s = i_s − b_s, and C, n, m the
// memory before the chunk, let μ_t = max(m, a_s for s ≤ t). Then m_t = b_t + μ_t, and
//   e^{a_s − μ_t} is the share of token s at token t,  e^{m − μ_t} that of the memory,
// so that no exponent is ever positive. Values get a last column of ones, which makes n a column of
// C, and n · q one of the numerators.
// Letters: B batch, T time, H heads, K features of a key, V of a value, Q chunk.
#if defined(APUS_OPS_MLSTM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef APUS_OPS_MLSTM_INL_H_
#undef APUS_OPS_MLSTM_INL_H_
#else
#define APUS_OPS_MLSTM_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cmath>

#include "ops/mlstm_plan.h"
#include "ops/ssd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace apus::HWY_NAMESPACE {

/// The sizes of one call, and what follows from them.
struct MlstmPlan {
  apus_mlstm_shape shape;
  ptrdiff_t chunk, chunks, rows;  ///< Q, no longer than the sequence; rows in whole tiles
  ptrdiff_t keys, values;         ///< strides of rows of K and of V + 1
  ptrdiff_t scores;               ///< stride of rows of Q
  ptrdiff_t key_rows;             ///< K in whole tiles

  explicit MlstmPlan(const apus_mlstm_shape& shape) : shape(shape) {
    chunk = std::max<ptrdiff_t>(1, std::min(shape.chunk, shape.time));
    chunks = (shape.time + chunk - 1) / chunk;
    rows = TileRows(chunk);
    const auto stride = [](ptrdiff_t columns) {
      return ssd::OddLines(std::max(ssd::RoundUp(columns, kPanel), TileRows(columns)));
    };
    keys = stride(shape.key_size);
    values = stride(shape.value_size + 1);
    scores = ssd::OddLines(ssd::RoundUp(std::max(chunk, rows), kPanel) + kPanel);
    key_rows = TileRows(shape.key_size);
  }

  ptrdiff_t tasks() const { return shape.batch * shape.heads; }
  ptrdiff_t memory() const { return key_rows * values; }
  ptrdiff_t Tokens(ptrdiff_t index) const { return std::min(chunk, shape.time - index * chunk); }
  float scale() const { return 1 / std::sqrt(static_cast<float>(shape.key_size)); }
  ptrdiff_t Key(ptrdiff_t batch, ptrdiff_t head, ptrdiff_t t) const {
    return (batch * shape.time + t) * shape.x_stride + head * shape.key_size;
  }
  ptrdiff_t Value(ptrdiff_t batch, ptrdiff_t head, ptrdiff_t t) const {
    return (batch * shape.time + t) * shape.x_stride + head * shape.value_size;
  }
  ptrdiff_t Output(ptrdiff_t batch, ptrdiff_t head, ptrdiff_t t) const {
    return ((batch * shape.time + t) * shape.heads + head) * shape.value_size;
  }
  ptrdiff_t output_stride() const { return shape.heads * shape.value_size; }
  ptrdiff_t Gate(ptrdiff_t batch, ptrdiff_t head, ptrdiff_t t) const {
    return (batch * shape.time + t) * 2 * shape.heads + head;
  }
  ptrdiff_t Norm(ptrdiff_t batch, ptrdiff_t head, ptrdiff_t t) const {
    return ((batch * shape.time + t) * shape.heads + head) * 2;
  }
  ptrdiff_t Checkpoint(ptrdiff_t batch, ptrdiff_t head, ptrdiff_t index) const {
    return ((batch * chunks + index) * shape.heads + head) * mlstm::StateSize(shape);
  }
};

/// The gates of one head in one chunk.
struct MlstmGates {
  float *high, *low;          ///< a_s log2(e), in two parts: differences of sums must stay exact
  float *top_high, *top_low;  ///< μ_t log2(e), likewise
  float* since;               ///< e^{m − μ_t}: what is left of the memory at token t
  float* until;               ///< e^{a_s − μ_Q}: what is left of token s at the chunk's end
  float* floor;               ///< e^{−m_t}
  float* slope;               ///< σ(−f), the slope of ln σ(f)
  float whole;                ///< e^{m − μ_Q}: what is left of the memory at the chunk's end
  float last;                 ///< m at the chunk's end

  static ptrdiff_t Size(const MlstmPlan& plan) { return 8 * Scratch::Rounded(plan.scores); }
  void Take(Scratch& scratch, const MlstmPlan& plan) {
    for (float** part : {&high, &low, &top_high, &top_low, &since, &until, &floor, &slope}) {
      *part = scratch.Take(plan.scores);
      std::fill_n(*part, plan.scores, 0.0f);
    }
  }

  /// `count` tokens, whose i and f stand at `gates` and `heads` behind, from the memory's m on.
  HWY_NOINLINE void Compute(const float* gates, ptrdiff_t heads, ptrdiff_t count, float m) {
    const Floats f;
    constexpr double kLog2e = 1.4426950408889634;
    const ptrdiff_t padded = ssd::RoundUp(count, kPanel);
    for (ptrdiff_t t = 0; t < padded; ++t) {
      until[t] = t < count ? -gates[t * 2 * heads + heads] : 0.0f;
    }
    for (ptrdiff_t t = 0; t < padded; t += kLanes) {
      Vector sigmoid;
      const Vector soft = Softplus(f, hn::LoadU(f, until + t), sigmoid);
      hn::StoreU(soft, f, until + t);  // −ln σ(f)
      hn::StoreU(sigmoid, f, slope + t);
    }
    double sum = 0, top = m;
    for (ptrdiff_t t = 0; t < count; ++t) {
      sum -= until[t];
      const double a = gates[t * 2 * heads] - sum;
      top = a <= top ? top : a;  // this order keeps not-a-number
      Split(a * kLog2e, high[t], low[t]);
      Split(top * kLog2e, top_high[t], top_low[t]);
      since[t] = static_cast<float>((m - top) * kLog2e);
      // Beyond 2⁶⁴ the numerator, which is no larger than its terms, has vanished beside it.
      floor[t] = static_cast<float>(std::min(-(sum + top) * kLog2e, 64.0));
    }
    last = static_cast<float>(sum + top);
    const Vector end_high = hn::Set(f, top_high[count - 1]),
                 end_low = hn::Set(f, top_low[count - 1]);
    for (ptrdiff_t t = 0; t < padded; t += kLanes) {
      Vector x[3] = {hn::LoadU(f, since + t), hn::LoadU(f, floor + t),
                     hn::Add(hn::Sub(hn::LoadU(f, high + t), end_high),
                             hn::Sub(hn::LoadU(f, low + t), end_low))};
      const auto real = Inside(t, 0, count);
      for (Vector& exponent : x) exponent = hn::IfThenElseZero(real, exponent);
      Exp2(x);
      hn::StoreU(x[0], f, since + t);
      hn::StoreU(x[1], f, floor + t);
      hn::StoreU(x[2], f, until + t);
    }
    whole = since[count - 1];
  }

  /// e^{a_s − μ_t} for the panel of tokens s that starts at `first`, 0 for tokens after t.
  HWY_INLINE void Shares(Vector (&share)[2], ptrdiff_t t, ptrdiff_t first) const {
    const Floats f;
    const Vector high_t = hn::Set(f, top_high[t]), low_t = hn::Set(f, top_low[t]);
    for (int v = 0; v < 2; ++v) {
      const ptrdiff_t s = first + v * kLanes;
      const Vector exponent =
          hn::Add(hn::Sub(hn::LoadU(f, high + s), high_t), hn::Sub(hn::LoadU(f, low + s), low_t));
      share[v] = hn::IfThenElseZero(Inside(s, 0, t + 1), exponent);
    }
    Exp2(share);
    if (first + kPanel - 1 > t) {
      for (int v = 0; v < 2; ++v) {
        share[v] = hn::IfThenElseZero(Inside(first + v * kLanes, 0, t + 1), share[v]);
      }
    }
  }

 private:
  static void Split(double value, float& high, float& low) {
    high = static_cast<float>(value);
    low = static_cast<float>(value - high);
  }
};

/// The rows of one head in one chunk, and its memory.
struct MlstmRows {
  float *q, *k, *v;  ///< q / √K, k, and v with a column of ones: rows of a chunk
  float* keys;       ///< k as turned panels
  float* scores;     ///< q_t · k_s, for the panels that hold a token s up to the end of t's tile
  float* scale;      ///< 1 / √K for every row

  static ptrdiff_t Size(const MlstmPlan& plan) {
    return 2 * Scratch::Rounded(plan.rows * plan.keys) + Scratch::Rounded(plan.rows * plan.values) +
           Scratch::Rounded(ssd::RoundUp(plan.chunk, kPanel) * plan.shape.key_size) +
           Scratch::Rounded(plan.rows * plan.scores) + Scratch::Rounded(plan.rows);
  }
  void Take(Scratch& scratch, const MlstmPlan& plan) {
    q = scratch.Take(plan.rows * plan.keys);
    k = scratch.Take(plan.rows * plan.keys);
    v = scratch.Take(plan.rows * plan.values);
    keys = scratch.Take(ssd::RoundUp(plan.chunk, kPanel) * plan.shape.key_size);
    scores = scratch.Take(plan.rows * plan.scores);
    scale = scratch.Take(plan.rows);
    std::fill_n(scale, plan.rows, plan.scale());
  }

  /// Tokens first ..< first + count.
  void Load(const mlstm::Inputs& in, const MlstmPlan& plan, ptrdiff_t batch, ptrdiff_t head,
            ptrdiff_t first, ptrdiff_t count) {
    const apus_mlstm_shape& shape = plan.shape;
    const ptrdiff_t key = plan.Key(batch, head, first), value = plan.Value(batch, head, first);
    LoadRows(q, plan.keys, in.q + key, shape.x_stride, count, shape.key_size, scale);
    LoadRows(k, plan.keys, in.k + key, shape.x_stride, count, shape.key_size);
    LoadRows(v, plan.values, in.v + value, shape.x_stride, count, shape.value_size);
    // The ones may need a panel more than the values.
    for (ptrdiff_t t = 0; t < count; ++t) {
      float* row = v + t * plan.values;
      std::fill_n(row + shape.value_size, plan.values - shape.value_size, 0.0f);
      row[shape.value_size] = 1.0f;
    }
    PackTransposed(keys, in.k + key, shape.x_stride, count, shape.key_size);
    for (ptrdiff_t s = 0; s < count; s += kPanel) {
      for (ptrdiff_t t = s / kRows * kRows; t < count; t += kRows) {
        ProductTile<2, false, false>(scores + t * plan.scores + s, plan.scores, q + t * plan.keys,
                                     plan.keys, keys + s * shape.key_size, kPanel, shape.key_size);
      }
    }
  }
};

/// A state as [K, V + 1] in padded rows, of one that lies [K, V] and then [K] and m.
inline void LoadMemory(float* to, const float* from, const MlstmPlan& plan) {
  const ptrdiff_t keys = plan.shape.key_size, values = plan.shape.value_size;
  std::fill_n(to, plan.memory(), 0.0f);
  for (ptrdiff_t k = 0; k < keys; ++k) {
    std::copy_n(from + k * values, values, to + k * plan.values);
    to[k * plan.values + values] = from[keys * values + k];
  }
}

inline void StoreMemory(float* to, const float* from, float m, const MlstmPlan& plan) {
  const ptrdiff_t keys = plan.shape.key_size, values = plan.shape.value_size;
  for (ptrdiff_t k = 0; k < keys; ++k) {
    std::copy_n(from + k * plan.values, values, to + k * values);
    to[keys * values + k] = from[k * plan.values + values];
  }
  to[keys * values + keys] = m;
}

}  // namespace apus::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
