// Attention by features, backward: tiles from the last to the first, each from the sums before it
// that forward left. The sums are never rebuilt by subtraction, which would drift.
//
// n_t = S_tᵀφq_t, D_t = z_t·φq_t, o = n/D:  dn = do/D, dD = −(do·o)/D
// dφq_t = S_t dn_t + z_t dD_t;  with Gm = Σ_{s≥t} φq_s dn_sᵀ and hm = Σ_{s≥t} φq_s dD_s:
// dφk_t = Gm v_t + hm, dv_t = Gmᵀ φk_t. References are constants: o does not depend on them.
#include <cmath>

#include "include/apus_kernels.h"
#include "support/parallel.h"
#include "support/scratch.h"
#include "support/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/feature_attention_backward.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "ops/feature_attention-inl.h"
#include "ops/feature_attention_plan.h"

HWY_BEFORE_NAMESPACE();
namespace apus::HWY_NAMESPACE {
namespace {

using features::BackwardCall;

/// What backward keeps beside the tile of the forward pass.
struct Gradients {
  float *sums, *z;       ///< gradients of S and of z, relative to the same reference
  float *dn, *dd;        ///< [kTokenRows, value_stride], [kTokenRows]
  float *dq, *dk;        ///< [kTokenRows, feature_stride], of features, then of logits
  float *dv, *dx;        ///< [kTokenRows, value_stride], [kTokenRows, size_stride]
  float* dweights;       ///< [kTokenRows, token_stride]
  float* turned;         ///< [dv, feature_stride], a matrix turned
  float* w;              ///< [m, size_stride], weights times scale
  float *dw, *dw_norm;   ///< [feature_stride, size_stride], [columns]
  float* mixing_turned;  ///< [m, feature_stride]
  float* dmixing;        ///< [feature_stride, feature_stride]
  float* factors;        ///< [columns]
  float *close, *open;   ///< [columns], what closing and opening a segment multiply by
  float* query_rows;     ///< [kTokenRows, size_stride]
  float* query_logits;   ///< [kTokenRows, feature_stride]

  void Take(Scratch& scratch, const FeatureTile& tile) {
    const ptrdiff_t matrix = kTokenRows * tile.feature_stride;
    const ptrdiff_t mixed = tile.IsMixed() ? tile.feature_stride : 0;
    sums = scratch.Take(tile.feature_stride * tile.value_stride);
    z = scratch.Take(tile.columns);
    dn = scratch.Take(kTokenRows * tile.value_stride);
    dd = scratch.Take(kTokenRows);
    dq = scratch.Take(matrix);
    dk = scratch.Take(matrix);
    dv = scratch.Take(kTokenRows * tile.value_stride);
    dx = scratch.Take(kTokenRows * tile.size_stride);
    dweights = scratch.Take(kTokenRows * tile.token_stride);
    turned = scratch.Take(tile.dv * tile.feature_stride);
    w = scratch.Take(tile.m * tile.size_stride);
    dw = scratch.Take(mixed * tile.size_stride);
    dw_norm = scratch.Take(tile.columns);
    mixing_turned = scratch.Take(mixed * tile.m);
    dmixing = scratch.Take(mixed * mixed);
    factors = scratch.Take(tile.columns);
    close = scratch.Take(tile.columns);
    open = scratch.Take(tile.columns);
    query_rows = scratch.Take(kTokenRows * tile.size_stride);
    query_logits = scratch.Take(matrix);
  }
};

/// to[j, i] = from[i, j] for [rows, columns].
void Turn(float* to, ptrdiff_t to_stride, const float* from, ptrdiff_t from_stride, ptrdiff_t rows,
          ptrdiff_t columns) {
  const ptrdiff_t whole_rows = rows / 4 * 4, whole = columns / 4 * 4;
  for (ptrdiff_t i = 0; i < rows; i += 4) {
    ptrdiff_t j = 0;
    if (i < whole_rows) {
      for (; j < whole; j += 4) {
        Transpose4x4(to + j * to_stride + i, to_stride, from + i * from_stride + j, from_stride);
      }
    }
    for (; j < columns; ++j) {
      for (ptrdiff_t row = i; row < std::min(rows, i + 4); ++row) {
        to[j * to_stride + row] = from[row * from_stride + j];
      }
    }
  }
}

/// to[t, i] += a[t] · row[i].
void AddOuter(float* to, ptrdiff_t stride, const float* a, const float* row, ptrdiff_t rows,
              ptrdiff_t columns) {
  for (ptrdiff_t t = 0; t < rows; ++t) {
    const Vector factor = hn::Set(Floats(), a[t]);
    const auto add = [&](Vector x, Vector y) HWY_ATTR { return hn::MulAdd(factor, y, x); };
    Map(to + t * stride, columns, add, to + t * stride, row);
  }
}

/// dn and dD of the rows [first, end), whose queries' features stand in the tile.
void OutputGradients(const BackwardCall& call, const FeatureTile& tile, Gradients& d,
                     const Place& place, ptrdiff_t token, ptrdiff_t first, ptrdiff_t end) {
  const apus_feature_shape& shape = *tile.shape;
  for (ptrdiff_t t = first; t < end; ++t) {
    const ptrdiff_t at = place.Token(token + t, shape.o_stride, tile.dv);
    float* dn = d.dn + t * tile.value_stride;
    if (!features::Normalizes(shape)) {
      CopyFloats(dn, call.dout + at, tile.dv);
      d.dd[t] = 0.0f;
      continue;
    }
    const float* weights = tile.weights + (t - first) * tile.token_stride;
    const float inverse = 1.0f / Denominator(tile, weights, t - first + 1, t);
    ScaleRow(dn, call.dout + at, inverse, tile.dv);
    d.dd[t] = -inverse * Dot(call.dout + at, call.o + at, tile.dv);
  }
}

/// dφq of rows [first, end) from the sums before them, and the sums' gradients.
void QueryGradients(FeatureTile& tile, Gradients& d, ptrdiff_t first, ptrdiff_t end) {
  const ptrdiff_t at = first * tile.feature_stride, count = end - first;
  const float* dn = d.dn + first * tile.value_stride;
  Turn(d.turned, tile.feature_stride, tile.s, tile.value_stride, tile.m, tile.dv);
  Product<false, false>(d.dq + at, tile.feature_stride, dn, tile.value_stride, d.turned,
                        tile.feature_stride, count, tile.m, tile.dv);
  if (features::Normalizes(*tile.shape)) {
    AddOuter(d.dq + at, tile.feature_stride, d.dd + first, tile.z, count, tile.m);
  }
}

/// Adds what the queries of rows [first, end) ask of the sums before them.
void AddQueries(FeatureTile& tile, Gradients& d, ptrdiff_t first, ptrdiff_t end) {
  const float* q = tile.q + first * tile.feature_stride;
  Product<true, true>(d.sums, tile.value_stride, q, tile.feature_stride,
                      d.dn + first * tile.value_stride, tile.value_stride, tile.m, tile.dv,
                      end - first);
  if (!features::Normalizes(*tile.shape)) return;
  for (ptrdiff_t t = first; t < end; ++t, q += tile.feature_stride) {
    const Vector factor = hn::Set(Floats(), d.dd[t]);
    const auto add = [&](Vector x, Vector y) HWY_ATTR { return hn::MulAdd(factor, y, x); };
    Map(d.z, tile.m, add, d.z, q);
  }
}

/// dφk and dv of rows [first, end) from the gradients of the sums after them.
void KeyGradients(FeatureTile& tile, Gradients& d, ptrdiff_t first, ptrdiff_t end) {
  const ptrdiff_t at = first * tile.feature_stride, count = end - first;
  Turn(d.turned, tile.feature_stride, d.sums, tile.value_stride, tile.m, tile.dv);
  Product<false, false>(d.dk + at, tile.feature_stride, tile.v + first * tile.value_stride,
                        tile.value_stride, d.turned, tile.feature_stride, count, tile.m, tile.dv);
  Product<false, false>(d.dv + first * tile.value_stride, tile.value_stride, tile.k + at,
                        tile.feature_stride, d.sums, tile.value_stride, count, tile.dv, tile.m);
  if (!features::Normalizes(*tile.shape)) return;
  for (ptrdiff_t t = first; t < end; ++t) {
    const auto add = [](Vector x, Vector y) HWY_ATTR { return hn::Add(x, y); };
    float* row = d.dk + t * tile.feature_stride;
    Map(row, tile.m, add, row, d.z);
  }
}

/// What queries and keys of one segment give each other: with E = tril(dn vᵀ + dD),
/// dφq += E φk, dφk += Eᵀ φq, dv += Aᵀ dn.
void InsideGradients(FeatureTile& tile, Gradients& d, ptrdiff_t first, ptrdiff_t end) {
  const Floats f;
  const ptrdiff_t count = end - first, at = first * tile.feature_stride;
  const ptrdiff_t value_at = first * tile.value_stride;
  PackTransposed(tile.k_turned, tile.v + value_at, tile.value_stride, count, tile.dv);
  for (ptrdiff_t i = 0; i < count; i += kRows) {
    const ptrdiff_t seen = std::min(count, i + kRows);
    for (ptrdiff_t j = 0; j < seen; j += kPanel) {
      ProductTile<2, false, false>(d.dweights + i * tile.token_stride + j, tile.token_stride,
                                   d.dn + value_at + i * tile.value_stride, tile.value_stride,
                                   tile.k_turned + j * tile.dv, kPanel, tile.dv);
    }
    for (ptrdiff_t row = i; row < seen; ++row) {
      float* e = d.dweights + row * tile.token_stride;
      const Vector dd = hn::Set(f, d.dd[first + row]);
      for (ptrdiff_t j = 0; j < seen; j += kLanes) {
        hn::StoreU(hn::Add(hn::LoadU(f, e + j), dd), f, e + j);
      }
      Clear(e + row + 1, seen - row - 1);
    }
    Product<false, true>(d.dq + at + i * tile.feature_stride, tile.feature_stride,
                         d.dweights + i * tile.token_stride, tile.token_stride, tile.k + at,
                         tile.feature_stride, 1, tile.m, seen);
  }
  for (ptrdiff_t j = 0; j < count; j += kRows) {
    // Only rows from j on see these keys; the rows of a block before their own end are zeros.
    const ptrdiff_t from = j * tile.token_stride + j;
    Product<true, true>(d.dk + at + j * tile.feature_stride, tile.feature_stride, d.dweights + from,
                        tile.token_stride, tile.q + at + j * tile.feature_stride,
                        tile.feature_stride, 1, tile.m, count - j);
    Product<true, true>(d.dv + value_at + j * tile.value_stride, tile.value_stride,
                        tile.weights + from, tile.token_stride,
                        d.dn + value_at + j * tile.value_stride, tile.value_stride, 1, tile.dv,
                        count - j);
  }
}

/// From dφ to gradients of logits (or projections), in place.
void ThroughFeatures(const FeatureTile& tile, float* gradient, const float* values,
                     const float* logits, ptrdiff_t rows) {
  const auto times = [](Vector g, Vector y) HWY_ATTR { return hn::Mul(g, y); };
  const auto rectified = [](Vector g, Vector x) HWY_ATTR {
    return hn::IfThenElseZero(hn::Gt(x, hn::Zero(Floats())), g);
  };
  // For x <= 0 the feature is its own slope.
  const auto elu = [](Vector g, Vector y) HWY_ATTR {
    return hn::Mul(g,
                   hn::IfThenElse(hn::Gt(y, hn::Set(Floats(), 1.0f)), hn::Set(Floats(), 1.0f), y));
  };
  for (ptrdiff_t t = 0; t < rows; ++t) {
    const ptrdiff_t at = t * tile.feature_stride;
    float* row = gradient + at;
    if (features::Exponentiates(*tile.shape)) {
      Map(row, tile.m, times, row, values + at);
    } else if (tile.shape->kind == APUS_FEATURES_RELU) {
      Map(row, tile.m, rectified, row, logits + at);
    } else {
      Map(row, tile.m, elu, row, values + at);
    }
  }
}

/// From gradients of logits to those of `rows` rows x, written to `to`, and of the weights.
void ThroughLogits(const FeatureTile& tile, Gradients& d, float* to, ptrdiff_t stride,
                   const float* gradient, const float* x, ptrdiff_t rows) {
  const apus_feature_shape& shape = *tile.shape;
  if (!tile.HasWeights()) {
    return CopyRows(to, stride, gradient, tile.feature_stride, rows, tile.d);
  }
  Product<false, false>(d.dx, tile.size_stride, gradient, tile.feature_stride, d.w,
                        tile.size_stride, rows, tile.d, tile.m);
  const float square = features::Exponentiates(shape) ? shape.scale * shape.scale : 0.0f;
  for (ptrdiff_t t = 0; t < rows; ++t) {
    const Vector pull =
        hn::Set(Floats(), square * Total(gradient + t * tile.feature_stride, tile.m));
    const auto f = [&](Vector g, Vector v) HWY_ATTR { return hn::NegMulAdd(pull, v, g); };
    Map(to + t * stride, tile.d, f, d.dx + t * tile.size_stride, x + t * tile.size_stride);
  }
  if (!tile.IsMixed()) return;
  Product<true, true>(d.dw, tile.size_stride, gradient, tile.feature_stride, x, tile.size_stride,
                      tile.m, tile.d, rows);
  for (ptrdiff_t t = 0; t < rows; ++t) {
    const auto add = [](Vector a, Vector b) HWY_ATTR { return hn::Add(a, b); };
    Map(d.dw_norm, tile.m, add, d.dw_norm, gradient + t * tile.feature_stride);
  }
}

/// From dφq of rows [first, end) to dq.
void FinishQueries(const BackwardCall& call, FeatureTile& tile, Gradients& d, const Place& place,
                   ptrdiff_t token, ptrdiff_t first, ptrdiff_t end) {
  const apus_feature_shape& shape = *tile.shape;
  const ptrdiff_t at = first * tile.feature_stride, rows = end - first;
  float* gradient = d.dq + at;
  if (tile.IsMixed()) {
    Product<true, true>(d.dmixing, tile.feature_stride, tile.plain + at, tile.feature_stride,
                        d.dq + at, tile.feature_stride, tile.m, tile.m, rows);
    // The mixed features are of no more use: their place takes the gradient of the plain ones.
    gradient = tile.q + at;
    Product<false, false>(gradient, tile.feature_stride, d.dq + at, tile.feature_stride,
                          d.mixing_turned, tile.feature_stride, rows, tile.m, tile.m);
  }
  ThroughFeatures(tile, gradient, tile.plain + at, d.query_logits + at, rows);
  ThroughLogits(tile, d, call.dq + place.Token(token + first, shape.q_stride, tile.d),
                shape.q_stride, gradient, d.query_rows + first * tile.size_stride, rows);
}

/// From dφk of rows [first, end) to dk, and dv. The keys' rows and logits stand in the tile.
void FinishKeys(const BackwardCall& call, FeatureTile& tile, Gradients& d, const Place& place,
                ptrdiff_t token, ptrdiff_t first, ptrdiff_t end) {
  const apus_feature_shape& shape = *tile.shape;
  const ptrdiff_t at = first * tile.feature_stride, rows = end - first;
  ThroughFeatures(tile, d.dk + at, tile.k + at, tile.logits + at, rows);
  ThroughLogits(tile, d, call.dk + place.Token(token + first, shape.k_stride, tile.d),
                shape.k_stride, d.dk + at, tile.x + first * tile.size_stride, rows);
  CopyRows(call.dv + place.Token(token + first, shape.v_stride, tile.dv), shape.v_stride,
           d.dv + first * tile.value_stride, tile.value_stride, rows, tile.dv);
}

/// Queries' rows and logits of a tile, kept apart from the keys'.
void KeepQueries(const BackwardCall& call, FeatureTile& tile, Gradients& d, const Place& place,
                 ptrdiff_t token, ptrdiff_t rows) {
  LoadQueries(tile, place, call.q, token, rows);
  CopyRows(d.query_rows, tile.size_stride, tile.x, tile.size_stride, rows, tile.d);
  CopyRows(d.query_logits, tile.feature_stride, tile.q, tile.feature_stride, rows, tile.columns);
}

/// Brings the sums to the segment that opens at row `target`, through the segments before it.
/// Returns the end of that segment, whose keys' features then stand in the tile.
ptrdiff_t ReplayTo(FeatureTile& tile, Gradients& d, const float* checkpoint, ptrdiff_t target,
                   ptrdiff_t rows) {
  LoadSums(tile, checkpoint);
  for (ptrdiff_t first = 0;;) {
    if (features::Stabilizes(*tile.shape)) OpenSegment(tile, first, d.open);
    const ptrdiff_t end = KeySegment(tile, first, rows);
    if (first == target) return end;
    AddSegment(tile, first, end, d.factors);
    first = end;
  }
}

void BackwardSegment(const BackwardCall& call, FeatureTile& tile, Gradients& d, const Place& place,
                     ptrdiff_t token, ptrdiff_t first, ptrdiff_t end) {
  if (features::Stabilizes(*tile.shape)) {
    ScaleFactors(d.close, tile.r, tile.c, tile.columns);
    ScaleSums(tile, d.sums, d.z, d.close);
  }
  CopyRows(tile.q + first * tile.feature_stride, tile.feature_stride,
           d.query_logits + first * tile.feature_stride, tile.feature_stride, end - first,
           tile.columns);
  QueryFeatures(tile, first, end);
  SegmentWeights(tile, first, end);
  OutputGradients(call, tile, d, place, token, first, end);
  QueryGradients(tile, d, first, end);
  KeyGradients(tile, d, first, end);
  InsideGradients(tile, d, first, end);
  AddQueries(tile, d, first, end);
  if (features::Stabilizes(*tile.shape)) ScaleSums(tile, d.sums, d.z, d.open);
  // Now, because products for the segment before may overrun into these rows.
  FinishKeys(call, tile, d, place, token, first, end);
  FinishQueries(call, tile, d, place, token, first, end);
}

/// A tile: its segments from the last to the first. Nearly always there is one.
void BackwardTile(const BackwardCall& call, FeatureTile& tile, Gradients& d, const Place& place,
                  const float* checkpoint, ptrdiff_t token) {
  const ptrdiff_t rows = std::min(kTile, tile.shape->time - token);
  KeepQueries(call, tile, d, place, token, rows);
  LoadKeys(tile, place, call.k, call.v, token, rows);
  ptrdiff_t starts[kTokenRows], count = 0;
  LoadSums(tile, checkpoint);
  for (ptrdiff_t first = 0; first < rows; ++count) {
    starts[count] = first;
    if (features::Stabilizes(*tile.shape)) OpenSegment(tile, first, d.factors);
    first = KeySegment(tile, first, rows);
  }
  while (--count >= 0) {
    const ptrdiff_t end = ReplayTo(tile, d, checkpoint, starts[count], rows);
    BackwardSegment(call, tile, d, place, token, starts[count], end);
  }
}

/// What backward needs of the weights.
void LoadGradientWeights(const BackwardCall& call, FeatureTile& tile, Gradients& d,
                         const Place& place) {
  const apus_feature_shape& shape = *tile.shape;
  const float scale = features::Exponentiates(shape) ? shape.scale : 1.0f;
  if (tile.HasWeights()) {
    const float* w = call.w + place.Group() * tile.m * tile.d;
    for (ptrdiff_t i = 0; i < tile.m; ++i) {
      ScaleRow(d.w + i * tile.size_stride, w + i * tile.d, scale, tile.d);
    }
  }
  Clear(d.dw_norm, tile.columns);
  if (!tile.IsMixed()) return;
  Turn(d.mixing_turned, tile.feature_stride, tile.mixing, tile.feature_stride, tile.m, tile.m);
  Clear(d.dw, tile.feature_stride * tile.size_stride);
  Clear(d.dmixing, tile.feature_stride * tile.feature_stride);
}

void BackwardTask(const BackwardCall& call, ptrdiff_t task) {
  const apus_feature_shape& shape = *call.shape;
  const Place place(call.shape, task);
  Scratch scratch;
  FeatureTile tile(call.shape);
  Gradients d;
  scratch.Lay([&] {
    tile.Take(scratch);
    d.Take(scratch, tile);
  });
  LoadWeights(tile, call.w, call.mixing, place.Group());
  LoadGradientWeights(call, tile, d, place);
  Clear(d.sums, tile.feature_stride * tile.value_stride);
  Clear(d.z, tile.columns);
  const ptrdiff_t size = features::StateSize(shape);
  const ptrdiff_t tiles = apus_feature_checkpoints(&shape);
  const float* checkpoint = call.checkpoints + task * tiles * size;
  for (ptrdiff_t i = tiles - 1; i >= 0; --i) {
    BackwardTile(call, tile, d, place, checkpoint + i * size, i * kTile);
  }
  if (!tile.IsMixed()) return;
  // Logits fall with |w|²/2.
  const float* w = call.w + place.Group() * tile.m * tile.d;
  float* dw = call.dw + task * tile.m * tile.d;
  for (ptrdiff_t i = 0; i < tile.m; ++i) {
    const Vector scale = hn::Set(Floats(), shape.scale), pull = hn::Set(Floats(), d.dw_norm[i]);
    const auto f = [&](Vector g, Vector x)
                       HWY_ATTR { return hn::NegMulAdd(pull, x, hn::Mul(scale, g)); };
    Map(dw + i * tile.d, tile.d, f, d.dw + i * tile.size_stride, w + i * tile.d);
  }
  CopyRows(call.dmixing + task * tile.m * tile.m, tile.m, d.dmixing, tile.feature_stride, tile.m,
           tile.m);
}

}  // namespace
}  // namespace apus::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace apus {
namespace {
HWY_EXPORT(BackwardTask);

/// Adds the parts of all heads that share a group of weights, in order.
void SumGroups(float* to, const float* parts, const apus_feature_shape& shape, ptrdiff_t size) {
  std::fill_n(to, shape.groups * size, 0.0f);
  for (ptrdiff_t task = 0; task < shape.batch * shape.heads; ++task) {
    float* sum = to + features::Place(&shape, task).Group() * size;
    apus_axpy_f32(sum, parts + task * size, 1.0f, size);
  }
}

}  // namespace
}  // namespace apus

extern "C" void apus_feature_attention_backward_f32(float* dq, float* dk, float* dv, float* dw,
                                                    float* dmixing, const float* dout,
                                                    const float* o, const float* checkpoints,
                                                    const float* q, const float* k, const float* v,
                                                    const float* w, const float* mixing,
                                                    const apus_feature_shape* shape) {
  using namespace apus;
  if (shape->time <= 0) return;
  const ptrdiff_t tasks = shape->batch * shape->heads, m = shape->features;
  const bool parts = shape->kind == APUS_FEATURES_GAUSSIAN && shape->groups != tasks;
  const ptrdiff_t w_size = m * shape->head_size;
  Scratch scratch(parts ? Scratch::Rounded(tasks * w_size) + Scratch::Rounded(tasks * m * m) : 1);
  float* w_parts = parts ? scratch.Take(tasks * w_size) : dw;
  float* mixing_parts = parts ? scratch.Take(tasks * m * m) : dmixing;
  const features::BackwardCall call{shape,       dq, dk, dv, w_parts, mixing_parts, dout, o,
                                    checkpoints, q,  k,  v,  w,       mixing};
  ParallelBlocks(tasks, [&](ptrdiff_t task) { HWY_DYNAMIC_DISPATCH(BackwardTask)(call, task); });
  if (!parts) return;
  SumGroups(dw, w_parts, *shape, w_size);
  SumGroups(dmixing, mixing_parts, *shape, m * m);
}
#endif
