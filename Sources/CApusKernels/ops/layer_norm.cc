#include "support/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/layer_norm.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

#include <cmath>

#include "include/apus_kernels.h"
#include "ops/layer_norm-inl.h"
#include "ops/row_blocks.h"
#include "support/parallel.h"

HWY_BEFORE_NAMESPACE();
namespace apus::HWY_NAMESPACE {

void NormalizeRows(float* y, float* statistics, const float* x, const float* weight,
                   const float* bias, ptrdiff_t rows, ptrdiff_t features, float epsilon) {
  LayerNormRows(y, statistics, x, weight, bias, rows, features, epsilon);
}

void NormalizeRowsBackward(float* dx, float* dweight, float* dbias, const float* dy, const float* x,
                           const float* weight, const float* statistics, ptrdiff_t rows,
                           ptrdiff_t features) {
  LayerNormBackwardRows(dx, dweight, dbias, dy, x, weight, statistics, rows, features);
}

}  // namespace apus::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace apus {
namespace {

HWY_EXPORT(NormalizeRows);
HWY_EXPORT(NormalizeRowsBackward);

}  // namespace

extern "C" {

void apus_layer_norm_f32(float* y, float* statistics, const float* x, const float* weight,
                         const float* bias, ptrdiff_t rows, ptrdiff_t features, float epsilon) {
  ParallelRanges(rows, RowGrain(features), [&](ptrdiff_t begin, ptrdiff_t end) {
    HWY_DYNAMIC_DISPATCH(NormalizeRows)
    (y + begin * features, statistics + begin * 2, x + begin * features, weight, bias, end - begin,
     features, epsilon);
  });
}

void apus_layer_norm_backward_f32(float* dx, float* dweight, float* dbias, const float* dy,
                                  const float* x, const float* weight, const float* statistics,
                                  ptrdiff_t rows, ptrdiff_t features) {
  float* totals[2] = {dweight, dbias};
  SumRowBlocks(totals, features, rows, false, [&](float** sums, ptrdiff_t begin, ptrdiff_t end) {
    HWY_DYNAMIC_DISPATCH(NormalizeRowsBackward)
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
