// What the passes of feature attention agree on: which weights a head reads, what a state holds,
// and how far a tile reaches.
#pragma once

#include <cstddef>

#include "include/apus_kernels.h"
#include "ops/attention_plan.h"

namespace apus::features {

/// Tokens of a tile: a multiple of any panel and of any kRows.
constexpr ptrdiff_t kTile = 96;
/// How far, in powers of two, the logit of a key may rise above the reference of its segment.
constexpr float kHeadroom = 56.0f;
/// Added to rectified features, so that no denominator vanishes.
constexpr float kRectifiedFloor = 1e-3f;

inline ptrdiff_t Tiles(const apus_feature_shape& shape) { return (shape.time + kTile - 1) / kTile; }
/// Whether outputs are divided by the sum of their weights.
inline bool Normalizes(const apus_feature_shape& shape) {
  return shape.kind != APUS_FEATURES_GAUSSIAN;
}
/// Whether sums are kept relative to the largest logit so far.
inline bool Stabilizes(const apus_feature_shape& shape) {
  return shape.kind == APUS_FEATURES_EXPONENTIAL;
}
/// Whether features are exponentials of logits.
inline bool Exponentiates(const apus_feature_shape& shape) {
  return Stabilizes(shape) || shape.kind == APUS_FEATURES_GAUSSIAN;
}
/// Floats of the state of one head: S [m, dv], then z [m], then c [m].
inline ptrdiff_t StateSize(const apus_feature_shape& shape) {
  const ptrdiff_t vectors = (Normalizes(shape) ? 1 : 0) + (Stabilizes(shape) ? 1 : 0);
  return shape.features * (shape.value_size + vectors);
}

/// One head of one batch row.
struct Place {
  const apus_feature_shape* shape;
  ptrdiff_t batch, head;

  Place(const apus_feature_shape* shape, ptrdiff_t index)
      : shape(shape), batch(index / shape->heads), head(index % shape->heads) {}

  /// Where token t starts in an array with this distance between tokens.
  ptrdiff_t Token(ptrdiff_t t, ptrdiff_t stride, ptrdiff_t size) const {
    return (batch * shape->time + t) * stride + head * size;
  }
  /// Which of the weights' groups the head reads.
  ptrdiff_t Group() const {
    if (shape->groups == 1) return 0;
    return shape->groups == shape->heads ? head : batch * shape->heads + head;
  }
};

/// What every task of a call shares.
struct Call {
  const apus_feature_shape* shape;
  float *o, *state, *checkpoints;
  const float *q, *k, *v, *w, *mixing;
};

/// The same for backward. `dw` and `dmixing` have one part per head of each batch row.
struct BackwardCall {
  const apus_feature_shape* shape;
  float *dq, *dk, *dv, *dw, *dmixing;
  const float *dout, *o, *checkpoints, *q, *k, *v, *w, *mixing;
};

}  // namespace apus::features
