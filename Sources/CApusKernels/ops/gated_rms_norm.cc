// Root-mean-square norm behind a gate, by groups: the end of Mamba-2's mixer. Dao and Gu, 2024,
// arXiv:2405.21060; Zhang and Sennrich, 2019, arXiv:1910.07467. The gate comes first.
#include "support/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/gated_rms_norm.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

#include <cmath>

#include "include/apus_kernels.h"
#include "ops/math-inl.h"
#include "ops/row_blocks.h"
#include "support/loops-inl.h"
#include "support/parallel.h"

#ifndef APUS_GATED_RMS_NORM_SHAPE
#define APUS_GATED_RMS_NORM_SHAPE
namespace apus {
struct GatedNormShape {
  ptrdiff_t features, groups, z_stride;
  float epsilon;
};
}  // namespace apus
#endif

HWY_BEFORE_NAMESPACE();
namespace apus::HWY_NAMESPACE {

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

void GatedRmsNormRows(float* y, const float* x, const float* z, const float* weight, ptrdiff_t rows,
                      const GatedNormShape& shape) {
  const ptrdiff_t size = shape.features / shape.groups;
  const auto gate = [](V v, V g) HWY_ATTR { return hn::Mul(v, Silu(D(), g)); };
  const auto square = [](V v) HWY_ATTR { return hn::Mul(v, v); };
  for (ptrdiff_t r = 0; r < rows; ++r) {
    for (ptrdiff_t first = 0; first < shape.features; first += size) {
      float* out = y + r * shape.features + first;
      Map(out, size, gate, x + r * shape.features + first, z + r * shape.z_stride + first);
      const float mean = MapSum(size, square, out) / static_cast<float>(size);
      const V scale = hn::Set(D(), 1.0f / std::sqrt(mean + shape.epsilon));
      const auto f = [&](V v, V w) HWY_ATTR { return hn::Mul(hn::Mul(v, scale), w); };
      Map(out, size, f, out, weight + first);
    }
  }
}

/// One group of one row. With v = x silu(z), s = 1 / rms and g = dy ⊙ weight:
/// dv = s (g − v s² mean(g ⊙ v)); dx = dv silu(z); dz = dv x silu'(z). dweight gains dy v s.
void GatedRmsNormBackwardGroup(float* dx, float* dz, float* dweight, const float* dy,
                               const float* x, const float* z, const float* weight, ptrdiff_t size,
                               float epsilon) {
  // dx and dz hold silu(z) and x silu'(z) until dv is known.
  const auto silu = [](V g) HWY_ATTR { return Silu(D(), g); };
  const auto slope = [](V v, V g) HWY_ATTR {
    V ignored;
    return hn::Mul(v, SiluSlope(D(), g, ignored));
  };
  Map(dx, size, silu, z);
  Map(dz, size, slope, x, z);
  const auto square = [](V v, V gate) HWY_ATTR {
    const V gated = hn::Mul(v, gate);
    return hn::Mul(gated, gated);
  };
  const auto product = [](V g, V w, V v, V gate)
                           HWY_ATTR { return hn::Mul(hn::Mul(g, w), hn::Mul(v, gate)); };
  const float mean = MapSum(size, square, x, dx) / static_cast<float>(size);
  const float inverse = 1.0f / std::sqrt(mean + epsilon);
  const float slant = MapSum(size, product, dy, weight, x, dx) / static_cast<float>(size);
  const V scale = hn::Set(D(), inverse), back = hn::Set(D(), slant * inverse * inverse);
  const auto share = [&](V sum, V g, V v, V gate)
                         HWY_ATTR { return hn::MulAdd(g, hn::Mul(hn::Mul(v, gate), scale), sum); };
  Map(dweight, size, share, dweight, dy, x, dx);
  const auto through = [&](V factor, V g, V w, V v, V gate) HWY_ATTR {
    const V dv = hn::NegMulAdd(hn::Mul(v, gate), back, hn::Mul(g, w));
    return hn::Mul(hn::Mul(scale, dv), factor);
  };
  Map(dz, size, through, dz, dy, weight, x, dx);
  Map(dx, size, through, dx, dy, weight, x, dx);
}

void GatedRmsNormBackwardRows(float* dx, float* dz, float* dweight, const float* dy, const float* x,
                              const float* z, const float* weight, ptrdiff_t rows,
                              const GatedNormShape& shape) {
  const ptrdiff_t size = shape.features / shape.groups;
  for (ptrdiff_t r = 0; r < rows; ++r) {
    for (ptrdiff_t first = 0; first < shape.features; first += size) {
      const ptrdiff_t at = r * shape.features + first, gate = r * shape.z_stride + first;
      GatedRmsNormBackwardGroup(dx + at, dz + gate, dweight + first, dy + at, x + at, z + gate,
                                weight + first, size, shape.epsilon);
    }
  }
}

}  // namespace apus::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace apus {
namespace {

HWY_EXPORT(GatedRmsNormRows);
HWY_EXPORT(GatedRmsNormBackwardRows);

/// v of one group of one row, and 1 / rms, in double.
struct ReferenceGroup {
  ptrdiff_t at, gate, weight, size;
  double inverse = 0;

  ReferenceGroup(const float* x, const float* z, ptrdiff_t row, ptrdiff_t group,
                 const GatedNormShape& shape)
      : size(shape.features / shape.groups) {
    weight = group * size;
    at = row * shape.features + weight;
    gate = row * shape.z_stride + weight;
    double squares = 0;
    for (ptrdiff_t i = 0; i < size; ++i) squares += Gated(x, z, i) * Gated(x, z, i);
    inverse = 1 / std::sqrt(squares / static_cast<double>(size) + shape.epsilon);
  }
  static double Sigmoid(double v) { return 1 / (1 + std::exp(-v)); }
  double Gated(const float* x, const float* z, ptrdiff_t i) const {
    return x[at + i] * z[gate + i] * Sigmoid(z[gate + i]);
  }
};

}  // namespace

extern "C" {

void apus_gated_rms_norm_f32(float* y, const float* x, const float* z, const float* weight,
                             ptrdiff_t rows, ptrdiff_t features, ptrdiff_t groups,
                             ptrdiff_t z_stride, float epsilon) {
  const GatedNormShape shape = {features, groups, z_stride, epsilon};
  ParallelRanges(rows, RowGrain(features), [&](ptrdiff_t begin, ptrdiff_t end) {
    HWY_DYNAMIC_DISPATCH(GatedRmsNormRows)
    (y + begin * features, x + begin * features, z + begin * z_stride, weight, end - begin, shape);
  });
}

void apus_gated_rms_norm_backward_f32(float* dx, float* dz, float* dweight, const float* dy,
                                      const float* x, const float* z, const float* weight,
                                      ptrdiff_t rows, ptrdiff_t features, ptrdiff_t groups,
                                      ptrdiff_t z_stride, float epsilon) {
  const GatedNormShape shape = {features, groups, z_stride, epsilon};
  float* totals[1] = {dweight};
  SumRowBlocks(totals, features, rows, false, [&](float** sums, ptrdiff_t begin, ptrdiff_t end) {
    HWY_DYNAMIC_DISPATCH(GatedRmsNormBackwardRows)
    (dx + begin * features, dz + begin * z_stride, sums[0], dy + begin * features,
     x + begin * features, z + begin * z_stride, weight, end - begin, shape);
  });
}

void apus_gated_rms_norm_reference_f32(float* y, const float* x, const float* z,
                                       const float* weight, ptrdiff_t rows, ptrdiff_t features,
                                       ptrdiff_t groups, ptrdiff_t z_stride, float epsilon) {
  const GatedNormShape shape = {features, groups, z_stride, epsilon};
  for (ptrdiff_t index = 0; index < rows * groups; ++index) {
    const ReferenceGroup g(x, z, index / groups, index % groups, shape);
    for (ptrdiff_t i = 0; i < g.size; ++i) {
      y[g.at + i] = static_cast<float>(g.Gated(x, z, i) * g.inverse * weight[g.weight + i]);
    }
  }
}

void apus_gated_rms_norm_backward_reference_f32(float* dx, float* dz, float* dweight,
                                                const float* dy, const float* x, const float* z,
                                                const float* weight, ptrdiff_t rows,
                                                ptrdiff_t features, ptrdiff_t groups,
                                                ptrdiff_t z_stride, float epsilon) {
  const GatedNormShape shape = {features, groups, z_stride, epsilon};
  for (ptrdiff_t index = 0; index < rows * groups; ++index) {
    const ReferenceGroup g(x, z, index / groups, index % groups, shape);
    double mean = 0;
    for (ptrdiff_t i = 0; i < g.size; ++i) {
      mean += static_cast<double>(dy[g.at + i]) * weight[g.weight + i] * g.Gated(x, z, i) /
              static_cast<double>(g.size);
    }
    for (ptrdiff_t i = 0; i < g.size; ++i) {
      const double v = g.Gated(x, z, i), gate = z[g.gate + i];
      const double sigmoid = ReferenceGroup::Sigmoid(gate);
      const double dv = g.inverse * (static_cast<double>(dy[g.at + i]) * weight[g.weight + i] -
                                     v * g.inverse * g.inverse * mean);
      dx[g.at + i] = static_cast<float>(dv * gate * sigmoid);
      dz[g.gate + i] = static_cast<float>(dv * x[g.at + i] * sigmoid * (1 + gate * (1 - sigmoid)));
    }
  }
  for (ptrdiff_t i = 0; i < features; ++i) {
    double sum = 0;
    for (ptrdiff_t r = 0; r < rows; ++r) {
      const ReferenceGroup g(x, z, r, i / (features / groups), shape);
      sum += dy[g.at + i - g.weight] * g.Gated(x, z, i - g.weight) * g.inverse;
    }
    dweight[i] = static_cast<float>(sum);
  }
}

}  // extern "C"
}  // namespace apus
#endif  // HWY_ONCE
