// What the forward and the backward pass of state space duality share, once per instruction set:
// the decays of a chunk, its scores C · B, and the movement of rows.
#if defined(APUS_OPS_SSD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef APUS_OPS_SSD_INL_H_
#undef APUS_OPS_SSD_INL_H_
#else
#define APUS_OPS_SSD_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>

#include "ops/attention_tile-inl.h"
#include "ops/gates-inl.h"
#include "ops/ssd_plan.h"
#include "support/parallel.h"
#include "support/scratch.h"

HWY_BEFORE_NAMESPACE();
namespace apus::HWY_NAMESPACE {

using ssd::Plan;

/// A decay of 2^-256 a token is none at all in float; bounding it there keeps sums exact behind it.
constexpr double kLeastExponent = -256;

/// Rows that a product reads or writes: it works on kRows at a time.
inline ptrdiff_t TileRows(ptrdiff_t rows) { return ssd::RoundUp(rows, kRows); }

/// Runs body(vectors as a constant, first column) over the panels of a row.
template <class Body>
HWY_INLINE void ForPanels(ptrdiff_t columns, const Body& body) {
  for (ptrdiff_t first = 0; first < columns; first += kPanel) {
    if (columns - first > kLanes) {
      body(std::integral_constant<int, 2>(), first);
    } else {
      body(std::integral_constant<int, 1>(), first);
    }
  }
}

/// Copies rows, row r times scale[r] if there is a scale, and fills them with zeros up to whole
/// panels and tiles.
HWY_INLINE void LoadRows(float* HWY_RESTRICT to, ptrdiff_t to_stride,
                         const float* HWY_RESTRICT from, ptrdiff_t from_stride, ptrdiff_t rows,
                         ptrdiff_t columns, const float* scale = nullptr) {
  const Floats f;
  const ptrdiff_t padded = std::max(ssd::RoundUp(columns, kPanel), TileRows(columns));
  for (ptrdiff_t r = 0; r < rows; ++r, to += to_stride, from += from_stride) {
    const float one = scale == nullptr ? 1.0f : scale[r];
    const Vector factor = hn::Set(f, one);
    ptrdiff_t i = 0;
    for (; i + kLanes <= columns; i += kLanes) {
      hn::StoreU(hn::Mul(factor, hn::LoadU(f, from + i)), f, to + i);
    }
    for (; i < columns; ++i) to[i] = one * from[i];
    for (; i < padded; ++i) to[i] = 0.0f;
  }
}

/// Multiplies row r by scale[r], whole panels of it.
HWY_INLINE void ScaleRows(float* HWY_RESTRICT x, ptrdiff_t stride, const float* scale,
                          ptrdiff_t rows, ptrdiff_t columns) {
  const Floats f;
  for (ptrdiff_t r = 0; r < rows; ++r, x += stride) {
    const Vector factor = hn::Set(f, scale[r]);
    for (ptrdiff_t i = 0; i < columns; i += kLanes) {
      hn::StoreU(hn::Mul(factor, hn::LoadU(f, x + i)), f, x + i);
    }
  }
}

/// The step sizes and decays of one head in one chunk. S_t is the sum of Δ A up to token t.
struct ChunkSteps {
  float *step, *slope;  ///< Δ, and its slope by dt: 0 where a bound holds it
  float *high, *low;    ///< S_t log2(e), in two parts: differences of large sums must stay exact
  float* since;         ///< e^{S_t}: from the chunk's start to token t
  float* until;         ///< e^{S_Q − S_t}: from token t to the chunk's end
  float whole;          ///< e^{S_Q}, the decay of the whole chunk
  double rate;          ///< A

  static ptrdiff_t Size(ptrdiff_t chunk) {
    return 6 * (Scratch::Rounded(ssd::RoundUp(chunk, kPanel) + kPanel));
  }
  void Take(Scratch& scratch, ptrdiff_t chunk) {
    const ptrdiff_t size = ssd::RoundUp(chunk, kPanel) + kPanel;
    for (float** part : {&step, &slope, &high, &low, &since, &until}) *part = scratch.Take(size);
  }

  /// Tokens first ..< first + count of one sequence.
  HWY_NOINLINE void Compute(const ssd::Inputs& in, const Plan& plan, ptrdiff_t batch,
                            ptrdiff_t head, ptrdiff_t first, ptrdiff_t count) {
    const Floats f;
    const apus_ssd_shape& shape = plan.shape;
    const float* dt = in.dt + (batch * shape.time + first) * shape.dt_stride + head;
    for (ptrdiff_t t = 0; t < count; ++t) step[t] = dt[t * shape.dt_stride];
    const ptrdiff_t padded = ssd::RoundUp(count, kPanel);
    for (ptrdiff_t t = count; t < padded; ++t) step[t] = 0.0f;
    const Vector bias = hn::Set(f, in.dt_bias[head]);
    const Vector least = hn::Set(f, shape.step_low), most = hn::Set(f, shape.step_high);
    for (ptrdiff_t t = 0; t < padded; t += kLanes) {
      Vector sigmoid;
      const Vector soft = Softplus(f, hn::Add(hn::LoadU(f, step + t), bias), sigmoid);
      const auto below = hn::Lt(soft, least), above = hn::Gt(soft, most);
      const Vector bounded = hn::IfThenElse(below, least, hn::IfThenElse(above, most, soft));
      hn::StoreU(bounded, f, step + t);
      hn::StoreU(hn::IfThenZeroElse(hn::Or(below, above), sigmoid), f, slope + t);
    }
    rate = -std::exp(static_cast<double>(in.a_log[head]));
    const double exponent = rate * 1.4426950408889634;
    double sum = 0;
    for (ptrdiff_t t = 0; t < count; ++t) {
      sum += std::max(step[t] * exponent, kLeastExponent);  // this order keeps not-a-number
      high[t] = static_cast<float>(sum);
      low[t] = static_cast<float>(sum - high[t]);
    }
    for (ptrdiff_t t = count; t < padded; ++t) high[t] = low[t] = 0.0f;
    const Vector last_high = hn::Set(f, high[count - 1]), last_low = hn::Set(f, low[count - 1]);
    for (ptrdiff_t t = 0; t < padded; t += kLanes) {
      const Vector h = hn::LoadU(f, high + t), l = hn::LoadU(f, low + t);
      Vector x[2] = {hn::Add(h, l), hn::Add(hn::Sub(last_high, h), hn::Sub(last_low, l))};
      Exp2(x);
      hn::StoreU(x[0], f, since + t);
      hn::StoreU(x[1], f, until + t);
    }
    whole = since[count - 1];
  }

  /// e^{S_t − S_s} for the panel of tokens s that starts at `first`; 1 for tokens after t, whose
  /// exponent, masked before it is taken, grows without bound.
  HWY_INLINE void Decays(Vector (&decay)[2], ptrdiff_t t, ptrdiff_t first) const {
    const Floats f;
    const Vector high_t = hn::Set(f, high[t]), low_t = hn::Set(f, low[t]);
    for (int v = 0; v < 2; ++v) {
      const ptrdiff_t s = first + v * kLanes;
      decay[v] =
          hn::Add(hn::Sub(high_t, hn::LoadU(f, high + s)), hn::Sub(low_t, hn::LoadU(f, low + s)));
    }
    if (first + kPanel - 1 > t) {
      for (int v = 0; v < 2; ++v) {
        decay[v] = hn::IfThenElseZero(Inside(first + v * kLanes, 0, t + 1), decay[v]);
      }
    }
    Exp2(decay);
  }
};

/// scores[t, s] = C_t · B_s for the panels that hold a token s up to the end of t's tile.
inline void ScoresOfChunk(float* scores, const Plan& plan, const float* b, const float* c,
                          ptrdiff_t tokens) {
  const ptrdiff_t states = plan.shape.states, stride = plan.states_stride;
  Scratch scratch(TileRows(tokens) * stride + ssd::RoundUp(tokens, kPanel) * states + 2 * 16);
  float* rows = scratch.Take(TileRows(tokens) * stride);
  float* panels = scratch.Take(ssd::RoundUp(tokens, kPanel) * states);
  LoadRows(rows, stride, c, plan.shape.x_stride, tokens, states);
  PackTransposed(panels, b, plan.shape.x_stride, tokens, states);
  for (ptrdiff_t s = 0; s < tokens; s += kPanel) {
    for (ptrdiff_t t = s / kRows * kRows; t < tokens; t += kRows) {
      ProductTile<2, false, false>(scores + t * plan.scores_stride + s, plan.scores_stride,
                                   rows + t * stride, stride, panels + s * states, kPanel, states);
    }
  }
}

/// The scores of all chunks of a segment, [sequence, chunk, TileRows(Q), scores stride].
inline void ScoresOfSegment(float* scores, const Plan& plan, const ssd::Inputs& in, ptrdiff_t first,
                            ptrdiff_t count) {
  const ptrdiff_t size = TileRows(plan.chunk) * plan.scores_stride;
  ParallelBlocks(plan.sequences() * count, [&](ptrdiff_t index) HWY_ATTR {
    const ptrdiff_t sequence = index / count, chunk = first + index % count;
    const ptrdiff_t at =
        plan.Shared(sequence / plan.shape.groups, chunk * plan.chunk, sequence % plan.shape.groups);
    ScoresOfChunk(scores + (sequence * plan.segment + index % count) * size, plan, in.b + at,
                  in.c + at, plan.ChunkTokens(chunk));
  });
}

}  // namespace apus::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
