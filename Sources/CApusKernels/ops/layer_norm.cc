#include "support/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/layer_norm.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

#include <cmath>

#include "include/apus_kernels.h"
#include "ops/loops-inl.h"
#include "ops/row_blocks.h"
#include "support/parallel.h"

HWY_BEFORE_NAMESPACE();
namespace apus::HWY_NAMESPACE {

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

void LayerNormRows(float* y, float* statistics, const float* x, const float* weight,
                   const float* bias, ptrdiff_t rows, ptrdiff_t features, float epsilon) {
  const D d;
  for (ptrdiff_t r = 0; r < rows; ++r, x += features, y += features, statistics += 2) {
    const float mean = MapSum(
                           features, [](V v) HWY_ATTR { return v; }, x) /
                       features;
    const V m = hn::Set(d, mean);
    const auto square = [&](V v) HWY_ATTR {
      const V centered = hn::Sub(v, m);
      return hn::Mul(centered, centered);
    };
    const float variance = MapSum(features, square, x) / features;
    const float scale = 1.0f / std::sqrt(variance + epsilon);
    const V s = hn::Set(d, scale);
    if (bias == nullptr) {
      const auto f = [&](V v, V w) HWY_ATTR { return hn::Mul(hn::Mul(hn::Sub(v, m), s), w); };
      Map(y, features, f, x, weight);
    } else {
      const auto f = [&](V v, V w, V b)
                         HWY_ATTR { return hn::MulAdd(hn::Mul(hn::Sub(v, m), s), w, b); };
      Map(y, features, f, x, weight, bias);
    }
    statistics[0] = mean;
    statistics[1] = scale;
  }
}

/// Writes dx and adds the rows' share to dweight and dbias. With g = dy ⊙ weight and x̂ the
/// normalized row: dx = (g − mean g − x̂ · mean(g ⊙ x̂)) / deviation.
void LayerNormBackwardRows(float* dx, float* dweight, float* dbias, const float* dy, const float* x,
                           const float* weight, const float* statistics, ptrdiff_t rows,
                           ptrdiff_t features) {
  const D d;
  for (ptrdiff_t r = 0; r < rows; ++r, x += features, dy += features, dx += features) {
    const V mean = hn::Set(d, statistics[2 * r]);
    const V scale = hn::Set(d, statistics[2 * r + 1]);
    const auto normalized = [&](V v) HWY_ATTR { return hn::Mul(hn::Sub(v, mean), scale); };
    const auto product = [](V g, V w) HWY_ATTR { return hn::Mul(g, w); };
    const auto triple = [&](V g, V w, V v)
                            HWY_ATTR { return hn::Mul(hn::Mul(g, w), normalized(v)); };
    const V mean_g = hn::Set(d, MapSum(features, product, dy, weight) / features);
    const V mean_gx = hn::Set(d, MapSum(features, triple, dy, weight, x) / features);
    const auto share = [&](V sum, V g, V v) HWY_ATTR { return hn::MulAdd(g, normalized(v), sum); };
    Map(dweight, features, share, dweight, dy, x);
    if (dbias != nullptr) {
      Map(
          dbias, features, [](V sum, V g) HWY_ATTR { return hn::Add(sum, g); }, dbias, dy);
    }
    const auto input = [&](V g, V w, V v) HWY_ATTR {
      const V centered = hn::Sub(hn::Mul(g, w), mean_g);
      return hn::Mul(scale, hn::NegMulAdd(normalized(v), mean_gx, centered));
    };
    Map(dx, features, input, dy, weight, x);
  }
}

}  // namespace apus::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace apus {
namespace {

HWY_EXPORT(LayerNormRows);
HWY_EXPORT(LayerNormBackwardRows);

}  // namespace

extern "C" {

void apus_layer_norm_f32(float* y, float* statistics, const float* x, const float* weight,
                         const float* bias, ptrdiff_t rows, ptrdiff_t features, float epsilon) {
  ParallelRanges(rows, RowGrain(features), [&](ptrdiff_t begin, ptrdiff_t end) {
    HWY_DYNAMIC_DISPATCH(LayerNormRows)
    (y + begin * features, statistics + begin * 2, x + begin * features, weight, bias, end - begin,
     features, epsilon);
  });
}

void apus_layer_norm_backward_f32(float* dx, float* dweight, float* dbias, const float* dy,
                                  const float* x, const float* weight, const float* statistics,
                                  ptrdiff_t rows, ptrdiff_t features) {
  float* totals[2] = {dweight, dbias};
  SumRowBlocks(totals, features, rows, false, [&](float** sums, ptrdiff_t begin, ptrdiff_t end) {
    HWY_DYNAMIC_DISPATCH(LayerNormBackwardRows)
    (dx + begin * features, sums[0], sums[1], dy + begin * features, x + begin * features, weight,
     statistics + begin * 2, end - begin, features);
  });
}

void apus_layer_norm_reference_f32(float* y, float* statistics, const float* x, const float* weight,
                                   const float* bias, ptrdiff_t rows, ptrdiff_t features,
                                   float epsilon) {
  for (ptrdiff_t r = 0; r < rows; ++r, x += features, y += features) {
    double mean = 0, variance = 0;
    for (ptrdiff_t i = 0; i < features; ++i) mean += x[i];
    mean /= features;
    for (ptrdiff_t i = 0; i < features; ++i) variance += (x[i] - mean) * (x[i] - mean);
    variance /= features;
    const double scale = 1 / std::sqrt(variance + epsilon);
    for (ptrdiff_t i = 0; i < features; ++i) {
      const double shift = bias == nullptr ? 0 : bias[i];
      y[i] = static_cast<float>((x[i] - mean) * scale * weight[i] + shift);
    }
    statistics[2 * r] = static_cast<float>(mean);
    statistics[2 * r + 1] = static_cast<float>(scale);
  }
}

void apus_layer_norm_backward_reference_f32(float* dx, float* dweight, float* dbias,
                                            const float* dy, const float* x, const float* weight,
                                            const float* statistics, ptrdiff_t rows,
                                            ptrdiff_t features) {
  const auto normalized = [&](ptrdiff_t r, ptrdiff_t i) {
    return (static_cast<double>(x[r * features + i]) - statistics[2 * r]) * statistics[2 * r + 1];
  };
  for (ptrdiff_t i = 0; i < features; ++i) {
    double sum = 0, sum_bias = 0;
    for (ptrdiff_t r = 0; r < rows; ++r) {
      sum += dy[r * features + i] * normalized(r, i);
      sum_bias += dy[r * features + i];
    }
    dweight[i] = static_cast<float>(sum);
    if (dbias != nullptr) dbias[i] = static_cast<float>(sum_bias);
  }
  for (ptrdiff_t r = 0; r < rows; ++r) {
    double mean_g = 0, mean_gx = 0;
    for (ptrdiff_t i = 0; i < features; ++i) {
      const double g = static_cast<double>(dy[r * features + i]) * weight[i];
      mean_g += g / features;
      mean_gx += g * normalized(r, i) / features;
    }
    for (ptrdiff_t i = 0; i < features; ++i) {
      const double g = static_cast<double>(dy[r * features + i]) * weight[i];
      dx[r * features + i] =
          static_cast<float>(statistics[2 * r + 1] * (g - mean_g - normalized(r, i) * mean_gx));
    }
  }
}

}  // extern "C"
}  // namespace apus
#endif  // HWY_ONCE
