// Attention by features, forward: tiles of tokens meet the sums over all earlier tokens in one
// product, and each other in another. Choromanski et al., 2020, arXiv:2009.14794, with sums that
// are exact without an epsilon; Katharopoulos et al., 2020, arXiv:2006.16236.
#include <cmath>

#include "include/apus_kernels.h"
#include "support/parallel.h"
#include "support/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/feature_attention.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "ops/feature_attention-inl.h"
#include "ops/feature_attention_plan.h"

HWY_BEFORE_NAMESPACE();
namespace apus::HWY_NAMESPACE {
namespace {

void StoreSums(const FeatureTile& tile, float* state) {
  CopyRows(state, tile.dv, tile.s, tile.value_stride, tile.m, tile.dv);
  state += tile.m * tile.dv;
  if (features::Normalizes(*tile.shape)) CopyFloats(state, tile.z, tile.m);
  if (features::Stabilizes(*tile.shape)) CopyFloats(state + tile.m, tile.c, tile.m);
}

/// Outputs of the queries in rows [first, end) from the sums before the segment and from the
/// segment's own keys.
void WriteOutputs(const features::Call& call, FeatureTile& tile, const Place& place,
                  ptrdiff_t token, ptrdiff_t first, ptrdiff_t end) {
  const apus_feature_shape& shape = *tile.shape;
  const ptrdiff_t count = end - first;
  QueryFeatures(tile, first, end);
  const float* q = tile.q + first * tile.feature_stride;
  Product<false, false>(tile.o, tile.value_stride, q, tile.feature_stride, tile.s,
                        tile.value_stride, count, tile.dv, tile.m);
  SegmentWeights(tile, first, end);
  for (ptrdiff_t i = 0; i < count; i += kRows) {
    Product<false, true>(tile.o + i * tile.value_stride, tile.value_stride,
                         tile.weights + i * tile.token_stride, tile.token_stride,
                         tile.v + first * tile.value_stride, tile.value_stride, 1, tile.dv,
                         std::min(count, i + kRows));
  }
  for (ptrdiff_t i = 0; i < count; ++i) {
    float* o = call.o + place.Token(token + first + i, shape.o_stride, tile.dv);
    const float* weights = tile.weights + i * tile.token_stride;
    const float scale =
        features::Normalizes(shape) ? 1.0f / Denominator(tile, weights, i + 1, first + i) : 1.0f;
    ScaleRow(o, tile.o + i * tile.value_stride, scale, tile.dv);
  }
}

/// Sums over the keys of a tile, segment by segment, and outputs on the way.
void ForwardTile(const features::Call& call, FeatureTile& tile, const Place& place, ptrdiff_t token,
                 float* factors) {
  const apus_feature_shape& shape = *tile.shape;
  const ptrdiff_t rows = std::min(kTile, shape.time - token);
  LoadQueries(tile, place, call.q, token, rows);
  LoadKeys(tile, place, call.k, call.v, token, rows);
  for (ptrdiff_t first = 0, end; first < rows; first = end) {
    if (features::Stabilizes(shape)) OpenSegment(tile, first, factors);
    end = KeySegment(tile, first, rows);
    WriteOutputs(call, tile, place, token, first, end);
    AddSegment(tile, first, end, factors);
  }
}

void ForwardTask(const features::Call& call, ptrdiff_t task) {
  const apus_feature_shape& shape = *call.shape;
  const Place place(call.shape, task);
  Scratch scratch;
  FeatureTile tile(call.shape);
  float* factors = nullptr;
  scratch.Lay([&] {
    tile.Take(scratch);
    factors = scratch.Take(tile.columns);
  });
  LoadWeights(tile, call.w, call.mixing, place.Group());
  const ptrdiff_t size = features::StateSize(shape);
  if (call.state != nullptr) {
    LoadSums(tile, call.state + task * size);
  } else {
    ClearSums(tile);
  }
  float* checkpoint = call.checkpoints;
  if (checkpoint != nullptr) checkpoint += task * size * apus_feature_checkpoints(&shape);
  for (ptrdiff_t token = 0; token < shape.time; token += kTile) {
    if (checkpoint != nullptr) {
      StoreSums(tile, checkpoint);
      checkpoint += size;
    }
    ForwardTile(call, tile, place, token, factors);
  }
  if (call.state != nullptr) StoreSums(tile, call.state + task * size);
}

// One token after a state. Turning weights and filling tiles would cost more than the arithmetic.

/// Logits of one row x, by products of rows.
void StepLogits(float* logits, const apus_feature_shape& shape, const float* x, const float* w) {
  const ptrdiff_t d = shape.head_size;
  if (shape.kind == APUS_FEATURES_ELU) return CopyFloats(logits, x, d);
  const bool exponential = features::Exponentiates(shape);
  const float unit = exponential ? shape.scale * kLog2E : 1.0f;
  const float half = 0.5f * kLog2E;
  const float norm = exponential ? half * shape.scale * shape.scale * Dot(x, x, d) : 0.0f;
  for (ptrdiff_t i = 0; i < shape.features; ++i, w += d) {
    logits[i] = unit * Dot(w, x, d) - norm;
    if (shape.kind == APUS_FEATURES_GAUSSIAN) logits[i] -= half * Dot(w, w, d);
  }
}

/// to += factor · from.
HWY_INLINE void AddRow(float* to, const float* from, float factor, ptrdiff_t count) {
  const Vector scale = hn::Set(Floats(), factor);
  const auto add = [&](Vector x, Vector y) HWY_ATTR { return hn::MulAdd(scale, y, x); };
  Map(to, count, add, to, from);
}

void StepTask(const features::Call& call, ptrdiff_t task) {
  const apus_feature_shape& shape = *call.shape;
  const Place place(call.shape, task);
  FeatureTile tile(call.shape);  // for its sizes
  const ptrdiff_t m = tile.m, dv = tile.dv, columns = tile.columns;
  Scratch scratch(6 * columns);
  float *q = scratch.Take(6 * columns), *k = q + columns, *logits = k + columns;
  float *factors = logits + columns, *r = factors + columns, *mixed = r + columns;
  Clear(q, 6 * columns);
  const float* w = tile.HasWeights() ? call.w + place.Group() * m * tile.d : nullptr;
  StepLogits(q, shape, call.q + place.Token(0, shape.q_stride, tile.d), w);
  StepLogits(logits, shape, call.k + place.Token(0, shape.k_stride, tile.d), w);
  float* s = call.state + task * features::StateSize(shape);
  float* z = s + m * dv;
  if (features::Stabilizes(shape)) {
    float* c = z + m;
    float top = -attention::kInfinity;
    for (ptrdiff_t i = 0; i < m; ++i) {
      r[i] = logits[i] > c[i] ? logits[i] : c[i];
      factors[i] = c[i] - r[i];
      k[i] = logits[i] - r[i];
      q[i] += r[i];
      top = q[i] > top ? q[i] : top;
      c[i] = r[i];
    }
    for (ptrdiff_t i = 0; i < m; ++i) q[i] -= top;
    Exp2Row(q, q, columns);
    Exp2Row(k, k, columns);
    Exp2Row(factors, factors, columns);
  } else {
    PlainFeatures(tile, q, q);
    PlainFeatures(tile, k, logits);
    std::fill_n(factors, m, 1.0f);
  }
  if (tile.IsMixed()) {
    const float* mixing = call.mixing + place.Group() * m * m;
    for (ptrdiff_t i = 0; i < m; ++i) AddRow(mixed, mixing + i * m, q[i], m);
    q = mixed;
  }
  float* o = call.o + place.Token(0, shape.o_stride, dv);
  const float* v = call.v + place.Token(0, shape.v_stride, dv);
  Clear(o, dv);
  for (ptrdiff_t i = 0; i < m; ++i, s += dv) {
    const Vector old = hn::Set(Floats(), factors[i]), key = hn::Set(Floats(), k[i]);
    const auto advance = [&](Vector x, Vector y)
                             HWY_ATTR { return hn::MulAdd(key, y, hn::Mul(old, x)); };
    Map(s, dv, advance, s, v);
    AddRow(o, s, q[i], dv);
  }
  if (!features::Normalizes(shape)) return;
  for (ptrdiff_t i = 0; i < m; ++i) z[i] = factors[i] * z[i] + k[i];
  ScaleRow(o, o, 1.0f / (Dot(q, z, m) + shape.epsilon), dv);
}

}  // namespace
}  // namespace apus::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace apus {
namespace {
HWY_EXPORT(ForwardTask);
HWY_EXPORT(StepTask);
}  // namespace
}  // namespace apus

extern "C" {

ptrdiff_t apus_feature_state_size(const apus_feature_shape* shape) {
  return apus::features::StateSize(*shape);
}

ptrdiff_t apus_feature_checkpoints(const apus_feature_shape* shape) {
  return apus::features::Tiles(*shape);
}

void apus_feature_attention_f32(float* o, float* state, float* checkpoints, const float* q,
                                const float* k, const float* v, const float* w, const float* mixing,
                                const apus_feature_shape* shape) {
  using namespace apus;
  if (shape->time <= 0) return;
  const features::Call call{shape, o, state, checkpoints, q, k, v, w, mixing};
  const bool step = shape->time == 1 && state != nullptr && checkpoints == nullptr;
  ParallelBlocks(shape->batch * shape->heads, [&](ptrdiff_t task) {
    if (step) {
      HWY_DYNAMIC_DISPATCH(StepTask)(call, task);
    } else {
      HWY_DYNAMIC_DISPATCH(ForwardTask)(call, task);
    }
  });
}

}  // extern "C"
#endif
