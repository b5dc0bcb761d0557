// The pieces of feature attention, once per instruction set: the features of a tile of tokens, the
// sums over all earlier ones, and the reference that keeps exponentials in range.
//
// Logits are in powers of two: log2(e) is folded into the turned weights. A segment is a run of
// tokens of a tile whose key features share one reference r, per feature: the largest logit before
// the segment, or that of its first key. A key whose logit rises too far above r opens a segment of
// its own. So a reference depends on earlier tokens alone, and outputs are causal to the bit.
#if defined(APUS_FEATURE_ATTENTION_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef APUS_FEATURE_ATTENTION_INL_H_
#undef APUS_FEATURE_ATTENTION_INL_H_
#else
#define APUS_FEATURE_ATTENTION_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstring>

#include "ops/attention_tile-inl.h"
#include "ops/feature_attention_plan.h"
#include "ops/math-inl.h"
#include "support/loops-inl.h"

HWY_BEFORE_NAMESPACE();
namespace apus::HWY_NAMESPACE {
namespace {

using attention::kLog2E;
using features::kTile;
using features::Place;

/// Rows of an array of tokens: products may overrun the last by a tile of their own.
constexpr ptrdiff_t kTokenRows = kTile + 16;

/// The memory of a task. Rows of features are `columns` long: a whole number of panels. What stands
/// between m and `columns` is never read as a number that counts.
struct FeatureTile {
  const apus_feature_shape* shape;
  ptrdiff_t m, d, dv, columns;
  ptrdiff_t feature_stride, size_stride, value_stride, token_stride;
  float* turned;    ///< [d, feature_stride], weights times scale · log2(e)
  float* offset;    ///< [columns], subtracted from logits; +∞ past the m-th
  float* mixing;    ///< [m, feature_stride], or unused
  float *x, *v;     ///< [kTokenRows, …], rows of queries or keys, and of values
  float* logits;    ///< [kTokenRows, feature_stride], of the keys
  float *q, *k;     ///< [kTokenRows, feature_stride], features
  float* plain;     ///< [kTokenRows, feature_stride], features of queries before they are mixed
  float* k_turned;  ///< panels of keys' features
  float* weights;   ///< [kTokenRows, token_stride]
  float* o;         ///< [kTokenRows, value_stride]
  float *s, *z;     ///< the sums over all tokens before the segment, relative to r
  float *r, *c;     ///< [columns], reference of the segment, largest logit so far

  explicit FeatureTile(const apus_feature_shape* shape)
      : shape(shape), m(shape->features), d(shape->head_size), dv(shape->value_size) {
    // Products write whole panels, and read kRows columns at once where they turn an operand.
    columns = attention::RoundUp(m, kPanel);
    feature_stride = attention::OddLines(attention::RoundUp(columns, kRows));
    size_stride = attention::OddLines(attention::RoundUp(d, kPanel));
    value_stride = attention::OddLines(attention::RoundUp(attention::RoundUp(dv, kPanel), kRows));
    token_stride = attention::OddLines(kTile);
  }

  bool IsMixed() const { return shape->kind == APUS_FEATURES_GAUSSIAN; }
  bool HasWeights() const { return shape->kind != APUS_FEATURES_ELU; }

  void Take(Scratch& scratch) {
    const ptrdiff_t matrix = kTokenRows * feature_stride;
    turned = scratch.Take(HasWeights() ? d * feature_stride : 0);
    offset = scratch.Take(columns);
    mixing = scratch.Take(IsMixed() ? m * feature_stride : 0);
    x = scratch.Take(kTokenRows * size_stride);
    v = scratch.Take(kTokenRows * value_stride);
    logits = scratch.Take(matrix);
    q = scratch.Take(matrix);
    k = scratch.Take(matrix);
    plain = IsMixed() ? scratch.Take(matrix) : q;
    k_turned = scratch.Take(attention::RoundUp(kTile, kPanel) * std::max(m, dv));
    weights = scratch.Take(kTokenRows * token_stride);
    o = scratch.Take(kTokenRows * value_stride);
    s = scratch.Take(feature_stride * value_stride);
    z = scratch.Take(columns);
    r = scratch.Take(columns);
    c = scratch.Take(columns);
  }
};

HWY_INLINE void Clear(float* x, ptrdiff_t count) {
  std::memset(x, 0, static_cast<size_t>(count) * sizeof(float));
}

HWY_INLINE void CopyFloats(float* HWY_RESTRICT to, const float* HWY_RESTRICT from,
                           ptrdiff_t count) {
  std::memcpy(to, from, static_cast<size_t>(count) * sizeof(float));
}

HWY_INLINE void CopyRows(float* to, ptrdiff_t to_stride, const float* from, ptrdiff_t from_stride,
                         ptrdiff_t rows, ptrdiff_t columns) {
  for (ptrdiff_t i = 0; i < rows; ++i) {
    CopyFloats(to + i * to_stride, from + i * from_stride, columns);
  }
}

HWY_INLINE float Dot(const float* a, const float* b, ptrdiff_t count) {
  const auto product = [](Vector x, Vector y) HWY_ATTR { return hn::Mul(x, y); };
  return MapSum(count, product, a, b);
}

HWY_INLINE float Total(const float* a, ptrdiff_t count) {
  const auto same = [](Vector x) HWY_ATTR { return x; };
  return MapSum(count, same, a);
}

/// c (+)= a · b over small tiles of `rows` x `columns`, which may both be overrun up to a tile.
template <bool kTransposed, bool kAdd>
HWY_INLINE void Product(float* c, ptrdiff_t c_stride, const float* a, ptrdiff_t a_stride,
                        const float* b, ptrdiff_t b_stride, ptrdiff_t rows, ptrdiff_t columns,
                        ptrdiff_t inner) {
  for (ptrdiff_t j = 0; j < columns; j += kPanel) {
    for (ptrdiff_t i = 0; i < rows; i += kRows) {
      ProductPanel<kTransposed, kAdd>(c + i * c_stride + j, c_stride,
                                      a + (kTransposed ? i : i * a_stride), a_stride, b + j,
                                      b_stride, inner, columns - j);
    }
  }
}

/// Brings the weights of a group into the tile.
void LoadWeights(FeatureTile& tile, const float* w, const float* mixing, ptrdiff_t group) {
  const apus_feature_shape& shape = *tile.shape;
  if (tile.HasWeights()) w += group * tile.m * tile.d;
  const bool exponential = features::Exponentiates(shape);
  const float unit = exponential ? shape.scale * kLog2E : 1.0f;
  if (tile.HasWeights()) {
    for (ptrdiff_t i = 0; i < tile.d; ++i) {
      float* row = tile.turned + i * tile.feature_stride;
      for (ptrdiff_t f = 0; f < tile.m; ++f) row[f] = w[f * tile.d + i] * unit;
      Clear(row + tile.m, tile.columns - tile.m);
    }
  }
  std::fill_n(tile.offset, tile.columns, attention::kInfinity);
  for (ptrdiff_t f = 0; f < tile.m; ++f) {
    const float* row = w + f * tile.d;
    tile.offset[f] = tile.IsMixed() ? 0.5f * kLog2E * Dot(row, row, tile.d) : 0.0f;
  }
  if (!tile.IsMixed()) return;
  CopyRows(tile.mixing, tile.feature_stride, mixing + group * tile.m * tile.m, tile.m, tile.m,
           tile.m);
}

/// Logits of `rows` rows of tile.x, or their projections where features are no exponentials.
void ComputeLogits(const FeatureTile& tile, float* logits, ptrdiff_t rows) {
  const Floats f;
  const apus_feature_shape& shape = *tile.shape;
  if (!tile.HasWeights()) {
    return CopyRows(logits, tile.feature_stride, tile.x, tile.size_stride, rows, tile.m);
  }
  Product<false, false>(logits, tile.feature_stride, tile.x, tile.size_stride, tile.turned,
                        tile.feature_stride, rows, tile.m, tile.d);
  if (!features::Exponentiates(shape)) return;
  const float unit = 0.5f * kLog2E * shape.scale * shape.scale;
  for (ptrdiff_t t = 0; t < rows; ++t) {
    const float* x = tile.x + t * tile.size_stride;
    const Vector norm = hn::Set(f, unit * Dot(x, x, tile.d));
    float* row = logits + t * tile.feature_stride;
    for (ptrdiff_t i = 0; i < tile.columns; i += kLanes) {
      const Vector shift = hn::Add(norm, hn::LoadU(f, tile.offset + i));
      hn::StoreU(hn::Sub(hn::LoadU(f, row + i), shift), f, row + i);
    }
  }
}

/// to = 2^from of `columns` floats, a whole number of panels. `to` may be `from`.
HWY_INLINE void Exp2Row(float* to, const float* from, ptrdiff_t columns) {
  const Floats f;
  ptrdiff_t i = 0;
  for (; i + 4 * kLanes <= columns; i += 4 * kLanes) {
    Vector x[4];
    for (int v = 0; v < 4; ++v) x[v] = hn::LoadU(f, from + i + v * kLanes);
    Exp2(x);
    for (int v = 0; v < 4; ++v) hn::StoreU(x[v], f, to + i + v * kLanes);
  }
  for (; i < columns; i += 2 * kLanes) {
    Vector x[2] = {hn::LoadU(f, from + i), hn::LoadU(f, from + i + kLanes)};
    Exp2(x);
    hn::StoreU(x[0], f, to + i);
    hn::StoreU(x[1], f, to + i + kLanes);
  }
}

/// Features that need no reference, from one row of logits.
HWY_INLINE void PlainFeatures(const FeatureTile& tile, float* to, const float* logits) {
  const Floats f;
  const Vector zero = hn::Zero(f), one = hn::Set(f, 1.0f);
  if (features::Exponentiates(*tile.shape)) return Exp2Row(to, logits, tile.columns);
  const bool rectified = tile.shape->kind == APUS_FEATURES_RELU;
  for (ptrdiff_t i = 0; i < tile.columns; i += kLanes) {
    const Vector x = hn::LoadU(f, logits + i);
    // IfThenElse lets not-a-number through, which Max would not everywhere.
    const auto positive = hn::Gt(x, zero);
    const Vector y = rectified
                         ? hn::Add(hn::IfThenElse(hn::Lt(x, zero), zero, x),
                                   hn::Set(f, features::kRectifiedFloor))
                         : hn::IfThenElse(positive, hn::Add(x, one), Exp(f, AtMost(f, x, 0.0f)));
    hn::StoreU(y, f, to + i);
  }
}

/// Multiplies each row of S, and z, by its factor.
HWY_INLINE void ScaleSums(FeatureTile& tile, float* s, float* z, const float* factors) {
  for (ptrdiff_t i = 0; i < tile.m; ++i) {
    if (factors[i] == 1.0f) continue;
    ScaleRow(s + i * tile.value_stride, s + i * tile.value_stride, factors[i], tile.dv);
    z[i] *= factors[i];
  }
}

/// factors = 2^(from − to), or 0 where nothing has been summed.
HWY_INLINE void ScaleFactors(float* factors, const float* from, const float* to,
                             ptrdiff_t columns) {
  const Floats f;
  for (ptrdiff_t i = 0; i < columns; i += kLanes) {
    hn::StoreU(hn::Sub(hn::LoadU(f, from + i), hn::LoadU(f, to + i)), f, factors + i);
  }
  Exp2Row(factors, factors, columns);
}

/// Opens a segment at row `first`: chooses its reference and brings the sums to it.
/// `factors` gets what the sums are multiplied by.
void OpenSegment(FeatureTile& tile, ptrdiff_t first, float* factors) {
  const Floats f;
  const float* logits = tile.logits + first * tile.feature_stride;
  for (ptrdiff_t i = 0; i < tile.columns; i += kLanes) {
    // In this order not-a-number does not hide what was there before.
    hn::StoreU(hn::Max(hn::LoadU(f, logits + i), hn::LoadU(f, tile.c + i)), f, tile.r + i);
  }
  ScaleFactors(factors, tile.c, tile.r, tile.columns);
  ScaleSums(tile, tile.s, tile.z, factors);
  CopyFloats(tile.c, tile.r, tile.columns);
}

/// Features of keys from row `first` on, up to the first whose logits leave the range of the
/// segment's reference. Returns one past the last; c follows the largest logit.
ptrdiff_t KeySegment(FeatureTile& tile, ptrdiff_t first, ptrdiff_t rows) {
  const Floats f;
  if (!features::Stabilizes(*tile.shape)) {
    for (ptrdiff_t t = first; t < rows; ++t) {
      PlainFeatures(tile, tile.k + t * tile.feature_stride, tile.logits + t * tile.feature_stride);
    }
    return rows;
  }
  for (ptrdiff_t t = first; t < rows; ++t) {
    const float* logits = tile.logits + t * tile.feature_stride;
    float* k = tile.k + t * tile.feature_stride;
    Vector highest = hn::Zero(f);
    for (ptrdiff_t i = 0; i < tile.columns; i += kLanes) {
      const Vector rise = hn::Sub(hn::LoadU(f, logits + i), hn::LoadU(f, tile.r + i));
      highest = hn::Max(rise, highest);
      hn::StoreU(rise, f, k + i);
    }
    if (!hn::AllTrue(f, hn::Le(highest, hn::Set(f, features::kHeadroom))) && t > first) return t;
    Exp2Row(k, k, tile.columns);
    for (ptrdiff_t i = 0; i < tile.columns; i += kLanes) {
      hn::StoreU(hn::Max(hn::LoadU(f, logits + i), hn::LoadU(f, tile.c + i)), f, tile.c + i);
    }
  }
  return rows;
}

/// Features of the queries in rows [first, end), from their logits in tile.q.
void QueryFeatures(FeatureTile& tile, ptrdiff_t first, ptrdiff_t end) {
  const Floats f;
  for (ptrdiff_t t = first; t < end; ++t) {
    float* q = tile.q + t * tile.feature_stride;
    if (!features::Stabilizes(*tile.shape)) {
      PlainFeatures(tile, tile.plain + t * tile.feature_stride, q);
      continue;
    }
    Vector top = hn::Set(f, -attention::kInfinity);
    for (ptrdiff_t i = 0; i < tile.columns; i += kLanes) {
      const Vector x = hn::Add(hn::LoadU(f, q + i), hn::LoadU(f, tile.r + i));
      top = hn::Max(x, top);
      hn::StoreU(x, f, q + i);
    }
    const Vector highest = hn::MaxOfLanes(f, top);
    for (ptrdiff_t i = 0; i < tile.columns; i += kLanes) {
      hn::StoreU(hn::Sub(hn::LoadU(f, q + i), highest), f, q + i);
    }
    Exp2Row(q, q, tile.columns);
  }
  if (!tile.IsMixed()) return;
  const ptrdiff_t at = first * tile.feature_stride;
  Product<false, false>(tile.q + at, tile.feature_stride, tile.plain + at, tile.feature_stride,
                        tile.mixing, tile.feature_stride, end - first, tile.m, tile.m);
}

/// Weights of the segment's keys for its queries, row by row up to the diagonal; zeros behind it as
/// far as a product of kRows rows reads.
void SegmentWeights(FeatureTile& tile, ptrdiff_t first, ptrdiff_t end) {
  const ptrdiff_t count = end - first, at = first * tile.feature_stride;
  PackTransposed(tile.k_turned, tile.k + at, tile.feature_stride, count, tile.m);
  for (ptrdiff_t i = 0; i < count; i += kRows) {
    const ptrdiff_t seen = std::min(count, i + kRows);
    for (ptrdiff_t j = 0; j < seen; j += kPanel) {
      ProductTile<2, false, false>(tile.weights + i * tile.token_stride + j, tile.token_stride,
                                   tile.q + at + i * tile.feature_stride, tile.feature_stride,
                                   tile.k_turned + j * tile.m, kPanel, tile.m);
    }
    for (ptrdiff_t row = i; row < seen; ++row) {
      Clear(tile.weights + row * tile.token_stride + row + 1, seen - row - 1);
    }
  }
}

/// Adds the segment's keys to the sums, and brings them to the largest logit so far.
void AddSegment(FeatureTile& tile, ptrdiff_t first, ptrdiff_t end, float* factors) {
  const Floats f;
  Product<true, true>(tile.s, tile.value_stride, tile.k + first * tile.feature_stride,
                      tile.feature_stride, tile.v + first * tile.value_stride, tile.value_stride,
                      tile.m, tile.dv, end - first);
  for (ptrdiff_t t = first; t < end; ++t) {
    const float* k = tile.k + t * tile.feature_stride;
    for (ptrdiff_t i = 0; i < tile.columns; i += kLanes) {
      hn::StoreU(hn::Add(hn::LoadU(f, tile.z + i), hn::LoadU(f, k + i)), f, tile.z + i);
    }
  }
  if (!features::Stabilizes(*tile.shape)) return;
  ScaleFactors(factors, tile.r, tile.c, tile.columns);
  ScaleSums(tile, tile.s, tile.z, factors);
}

/// The sums before the first token.
void ClearSums(FeatureTile& tile) {
  Clear(tile.s, tile.feature_stride * tile.value_stride);
  Clear(tile.z, tile.columns);
  Clear(tile.r, tile.columns);
  std::fill_n(tile.c, tile.m, -attention::kInfinity);
  Clear(tile.c + tile.m, tile.columns - tile.m);
}

void LoadSums(FeatureTile& tile, const float* state) {
  ClearSums(tile);
  CopyRows(tile.s, tile.value_stride, state, tile.dv, tile.m, tile.dv);
  state += tile.m * tile.dv;
  if (features::Normalizes(*tile.shape)) CopyFloats(tile.z, state, tile.m);
  if (features::Stabilizes(*tile.shape)) CopyFloats(tile.c, state + tile.m, tile.m);
}

/// Keys and values of `rows` tokens from `token` on, and the keys' logits.
void LoadKeys(FeatureTile& tile, const Place& place, const float* k, const float* v,
              ptrdiff_t token, ptrdiff_t rows) {
  const apus_feature_shape& shape = *tile.shape;
  CopyRows(tile.x, tile.size_stride, k + place.Token(token, shape.k_stride, tile.d), shape.k_stride,
           rows, tile.d);
  CopyRows(tile.v, tile.value_stride, v + place.Token(token, shape.v_stride, tile.dv),
           shape.v_stride, rows, tile.dv);
  ComputeLogits(tile, tile.logits, rows);
}

/// The logits of `rows` queries from `token` on, where their features will stand.
void LoadQueries(FeatureTile& tile, const Place& place, const float* q, ptrdiff_t token,
                 ptrdiff_t rows) {
  const apus_feature_shape& shape = *tile.shape;
  CopyRows(tile.x, tile.size_stride, q + place.Token(token, shape.q_stride, tile.d), shape.q_stride,
           rows, tile.d);
  ComputeLogits(tile, tile.q, rows);
}

/// The denominators of row t: weights of its segment's keys, `seen` of them, and the sums before.
HWY_INLINE float Denominator(const FeatureTile& tile, const float* weights, ptrdiff_t seen,
                             ptrdiff_t t) {
  const float before = Dot(tile.q + t * tile.feature_stride, tile.z, tile.m);
  return (seen > 0 ? Total(weights, seen) + before : before) + tile.shape->epsilon;
}

}  // namespace
}  // namespace apus::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
