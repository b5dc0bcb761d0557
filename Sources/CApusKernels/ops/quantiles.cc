#include "include/apus_kernels.h"
#include "support/parallel.h"

namespace apus {
extern "C" {

void apus_monotone_quantiles_f32(float* q, const float* x, ptrdiff_t rows, ptrdiff_t levels) {
  const ptrdiff_t median = levels / 2;
  apus_activation_f32(q, x, rows * levels, APUS_SOFTPLUS);
  ParallelRanges(rows, RowGrain(levels), [&](ptrdiff_t begin, ptrdiff_t end) {
    for (ptrdiff_t r = begin; r < end; ++r) {
      float* row = q + r * levels;
      row[median] = x[r * levels + median];
      for (ptrdiff_t i = median + 1; i < levels; ++i) row[i] = row[i - 1] + row[i];
      for (ptrdiff_t i = median - 1; i >= 0; --i) row[i] = row[i + 1] - row[i];
    }
  });
}

void apus_monotone_quantiles_backward_f32(float* dx, const float* dq, const float* x,
                                          ptrdiff_t rows, ptrdiff_t levels) {
  const ptrdiff_t median = levels / 2;
  apus_activation_f32(dx, x, rows * levels, APUS_SIGMOID);  // the derivative of softplus
  ParallelRanges(rows, RowGrain(levels), [&](ptrdiff_t begin, ptrdiff_t end) {
    for (ptrdiff_t r = begin; r < end; ++r) {
      const float* g = dq + r * levels;
      float* row = dx + r * levels;
      float above = 0, below = 0;  // a step moves every quantile outside of it
      for (ptrdiff_t i = levels - 1; i > median; --i) row[i] *= above += g[i];
      for (ptrdiff_t i = 0; i < median; ++i) row[i] *= -(below += g[i]);
      row[median] = below + g[median] + above;
    }
  });
}

void apus_pinball_f32(float* losses, float* dq, const float* q, const float* targets,
                      const float* weights, const float* levels, ptrdiff_t rows,
                      ptrdiff_t level_count) {
  ParallelRanges(rows, RowGrain(level_count), [&](ptrdiff_t begin, ptrdiff_t end) {
    for (ptrdiff_t r = begin; r < end; ++r) {
      const float weight = weights == nullptr ? 1.0f : weights[r];
      const float share = weight / static_cast<float>(level_count);
      float sum = 0;
      for (ptrdiff_t i = 0; i < level_count; ++i) {
        float slope = 0, loss = 0;
        if (weight != 0) {
          const float over = targets[r] - q[r * level_count + i];
          // At the kink the slope is 0; `over` itself hands not-a-number on.
          slope = over > 0 ? -levels[i] : over < 0 ? 1 - levels[i] : over;
          loss = -slope * over;
        }
        sum += loss;
        if (dq != nullptr) dq[r * level_count + i] = share * slope;
      }
      losses[r] = share * sum;
    }
  });
}

}  // extern "C"
}  // namespace apus
