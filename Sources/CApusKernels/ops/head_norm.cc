#include "support/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/head_norm.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

#include <cmath>

#include "include/apus_kernels.h"
#include "ops/layer_norm-inl.h"
#include "ops/row_blocks.h"
#include "support/parallel.h"

HWY_BEFORE_NAMESPACE();
namespace apus::HWY_NAMESPACE {

void NormalizeHeads(float* y, float* statistics, const float* x, const float* weight,
                    ptrdiff_t rows, ptrdiff_t heads, ptrdiff_t head_size, ptrdiff_t stride,
                    float epsilon) {
  for (ptrdiff_t r = 0; r < rows; ++r, x += stride, y += stride) {
    for (ptrdiff_t h = 0; h < heads; ++h, statistics += 2) {
      const ptrdiff_t at = h * head_size;
      LayerNormRows(y + at, statistics, x + at, weight + at, nullptr, 1, head_size, epsilon);
    }
  }
}

/// Writes dx and adds the rows' share to dweight.
void NormalizeHeadsBackward(float* dx, float* dweight, const float* dy, const float* x,
                            const float* weight, const float* statistics, ptrdiff_t rows,
                            ptrdiff_t heads, ptrdiff_t head_size, ptrdiff_t stride) {
  for (ptrdiff_t r = 0; r < rows; ++r, x += stride, dy += stride, dx += stride) {
    for (ptrdiff_t h = 0; h < heads; ++h, statistics += 2) {
      const ptrdiff_t at = h * head_size;
      LayerNormBackwardRows(dx + at, dweight + at, nullptr, dy + at, x + at, weight + at,
                            statistics, 1, head_size);
    }
  }
}

}  // namespace apus::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace apus {
namespace {

HWY_EXPORT(NormalizeHeads);
HWY_EXPORT(NormalizeHeadsBackward);

}  // namespace

extern "C" {

void apus_head_norm_f32(float* y, float* statistics, const float* x, const float* weight,
                        ptrdiff_t rows, ptrdiff_t heads, ptrdiff_t head_size, ptrdiff_t stride,
                        float epsilon) {
  ParallelRanges(rows, RowGrain(heads * head_size), [&](ptrdiff_t begin, ptrdiff_t end) {
    HWY_DYNAMIC_DISPATCH(NormalizeHeads)
    (y + begin * stride, statistics + begin * heads * 2, x + begin * stride, weight, end - begin,
     heads, head_size, stride, epsilon);
  });
}

void apus_head_norm_backward_f32(float* dx, float* dweight, const float* dy, const float* x,
                                 const float* weight, const float* statistics, ptrdiff_t rows,
                                 ptrdiff_t heads, ptrdiff_t head_size, ptrdiff_t stride) {
  float* totals[1] = {dweight};
  const auto body = [&](float** sums, ptrdiff_t begin, ptrdiff_t end) {
    HWY_DYNAMIC_DISPATCH(NormalizeHeadsBackward)
    (dx + begin * stride, sums[0], dy + begin * stride, x + begin * stride, weight,
     statistics + begin * heads * 2, end - begin, heads, head_size, stride);
  };
  SumRowBlocks(totals, heads * head_size, rows, false, body);
}

void apus_head_norm_reference_f32(float* y, float* statistics, const float* x, const float* weight,
                                  ptrdiff_t rows, ptrdiff_t heads, ptrdiff_t head_size,
                                  ptrdiff_t stride, float epsilon) {
  for (ptrdiff_t r = 0; r < rows; ++r) {
    for (ptrdiff_t h = 0; h < heads; ++h) {
      const ptrdiff_t at = r * stride + h * head_size;
      double mean = 0, variance = 0;
      for (ptrdiff_t i = 0; i < head_size; ++i) mean += x[at + i];
      mean /= head_size;
      for (ptrdiff_t i = 0; i < head_size; ++i) {
        variance += (x[at + i] - mean) * (x[at + i] - mean);
      }
      const double scale = 1 / std::sqrt(variance / head_size + epsilon);
      for (ptrdiff_t i = 0; i < head_size; ++i) {
        y[at + i] = static_cast<float>((x[at + i] - mean) * scale * weight[h * head_size + i]);
      }
      statistics[2 * (r * heads + h)] = static_cast<float>(mean);
      statistics[2 * (r * heads + h) + 1] = static_cast<float>(scale);
    }
  }
}

void apus_head_norm_backward_reference_f32(float* dx, float* dweight, const float* dy,
                                           const float* x, const float* weight,
                                           const float* statistics, ptrdiff_t rows, ptrdiff_t heads,
                                           ptrdiff_t head_size, ptrdiff_t stride) {
  for (ptrdiff_t h = 0; h < heads; ++h) {
    const float* gain = weight + h * head_size;
    const auto normalized = [&](ptrdiff_t r, ptrdiff_t i) {
      const float* own = statistics + 2 * (r * heads + h);
      return (static_cast<double>(x[r * stride + h * head_size + i]) - own[0]) * own[1];
    };
    for (ptrdiff_t i = 0; i < head_size; ++i) {
      double sum = 0;
      for (ptrdiff_t r = 0; r < rows; ++r) {
        sum += dy[r * stride + h * head_size + i] * normalized(r, i);
      }
      dweight[h * head_size + i] = static_cast<float>(sum);
    }
    for (ptrdiff_t r = 0; r < rows; ++r) {
      const ptrdiff_t at = r * stride + h * head_size;
      double mean_g = 0, mean_gx = 0;
      for (ptrdiff_t i = 0; i < head_size; ++i) {
        const double g = static_cast<double>(dy[at + i]) * gain[i];
        mean_g += g / head_size;
        mean_gx += g * normalized(r, i) / head_size;
      }
      for (ptrdiff_t i = 0; i < head_size; ++i) {
        const double g = static_cast<double>(dy[at + i]) * gain[i];
        dx[at + i] = static_cast<float>(statistics[2 * (r * heads + h) + 1] *
                                        (g - mean_g - normalized(r, i) * mean_gx));
      }
    }
  }
}

}  // extern "C"
}  // namespace apus
#endif  // HWY_ONCE
