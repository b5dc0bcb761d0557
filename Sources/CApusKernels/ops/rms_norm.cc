#include "support/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/rms_norm.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

#include <cmath>

#include "include/apus_kernels.h"
#include "ops/row_blocks.h"
#include "support/loops-inl.h"
#include "support/parallel.h"

HWY_BEFORE_NAMESPACE();
namespace apus::HWY_NAMESPACE {

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

void RmsNormRows(float* y, float* statistics, const float* x, const float* weight, ptrdiff_t rows,
                 ptrdiff_t features, float epsilon) {
  const auto square = [](V v) HWY_ATTR { return hn::Mul(v, v); };
  for (ptrdiff_t r = 0; r < rows; ++r, x += features, y += features) {
    const float scale = 1.0f / std::sqrt(MapSum(features, square, x) / features + epsilon);
    const V s = hn::Set(D(), scale);
    if (weight == nullptr) {
      Map(
          y, features, [&](V v) HWY_ATTR { return hn::Mul(v, s); }, x);
    } else {
      const auto f = [&](V v, V w) HWY_ATTR { return hn::Mul(hn::Mul(v, s), w); };
      Map(y, features, f, x, weight);
    }
    statistics[r] = scale;
  }
}

/// Writes dx and adds the rows' share to dweight. With g = dy ⊙ weight and x̂ = x / rms:
/// dx = (g − x̂ · mean(g ⊙ x̂)) / rms.
void RmsNormBackwardRows(float* dx, float* dweight, const float* dy, const float* x,
                         const float* weight, const float* statistics, ptrdiff_t rows,
                         ptrdiff_t features) {
  for (ptrdiff_t r = 0; r < rows; ++r, x += features, dy += features, dx += features) {
    const V scale = hn::Set(D(), statistics[r]);
    if (dweight != nullptr) {
      const auto share = [&](V sum, V g, V v)
                             HWY_ATTR { return hn::MulAdd(g, hn::Mul(v, scale), sum); };
      Map(dweight, features, share, dweight, dy, x);
    }
    const auto input = [&](V g, V v, V mean) HWY_ATTR {
      return hn::Mul(scale, hn::NegMulAdd(hn::Mul(v, scale), mean, g));
    };
    if (weight == nullptr) {
      const auto product = [&](V g, V v) HWY_ATTR { return hn::Mul(g, hn::Mul(v, scale)); };
      const V mean = hn::Set(D(), MapSum(features, product, dy, x) / features);
      Map(
          dx, features, [&](V g, V v) HWY_ATTR { return input(g, v, mean); }, dy, x);
    } else {
      const auto product = [&](V g, V w, V v)
                               HWY_ATTR { return hn::Mul(hn::Mul(g, w), hn::Mul(v, scale)); };
      const V mean = hn::Set(D(), MapSum(features, product, dy, weight, x) / features);
      const auto f = [&](V g, V w, V v) HWY_ATTR { return input(hn::Mul(g, w), v, mean); };
      Map(dx, features, f, dy, weight, x);
    }
  }
}

}  // namespace apus::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace apus {
namespace {

HWY_EXPORT(RmsNormRows);
HWY_EXPORT(RmsNormBackwardRows);

}  // namespace

extern "C" {

void apus_rms_norm_f32(float* y, float* statistics, const float* x, const float* weight,
                       ptrdiff_t rows, ptrdiff_t features, float epsilon) {
  ParallelRanges(rows, RowGrain(features), [&](ptrdiff_t begin, ptrdiff_t end) {
    HWY_DYNAMIC_DISPATCH(RmsNormRows)
    (y + begin * features, statistics + begin, x + begin * features, weight, end - begin, features,
     epsilon);
  });
}

void apus_rms_norm_backward_f32(float* dx, float* dweight, const float* dy, const float* x,
                                const float* weight, const float* statistics, ptrdiff_t rows,
                                ptrdiff_t features) {
  float* totals[1] = {dweight};
  SumRowBlocks(totals, features, rows, false, [&](float** sums, ptrdiff_t begin, ptrdiff_t end) {
    HWY_DYNAMIC_DISPATCH(RmsNormBackwardRows)
    (dx + begin * features, sums[0], dy + begin * features, x + begin * features, weight,
     statistics + begin, end - begin, features);
  });
}

void apus_rms_norm_reference_f32(float* y, float* statistics, const float* x, const float* weight,
                                 ptrdiff_t rows, ptrdiff_t features, float epsilon) {
  for (ptrdiff_t r = 0; r < rows; ++r, x += features, y += features) {
    double squares = 0;
    for (ptrdiff_t i = 0; i < features; ++i) squares += static_cast<double>(x[i]) * x[i];
    const double scale = 1 / std::sqrt(squares / features + epsilon);
    for (ptrdiff_t i = 0; i < features; ++i) {
      y[i] = static_cast<float>(x[i] * scale * (weight == nullptr ? 1 : weight[i]));
    }
    statistics[r] = static_cast<float>(scale);
  }
}

void apus_rms_norm_backward_reference_f32(float* dx, float* dweight, const float* dy,
                                          const float* x, const float* weight,
                                          const float* statistics, ptrdiff_t rows,
                                          ptrdiff_t features) {
  const auto normalized = [&](ptrdiff_t r, ptrdiff_t i) {
    return static_cast<double>(x[r * features + i]) * statistics[r];
  };
  const auto scaled = [&](ptrdiff_t r, ptrdiff_t i) {
    return static_cast<double>(dy[r * features + i]) * (weight == nullptr ? 1 : weight[i]);
  };
  for (ptrdiff_t i = 0; dweight != nullptr && i < features; ++i) {
    double sum = 0;
    for (ptrdiff_t r = 0; r < rows; ++r) sum += dy[r * features + i] * normalized(r, i);
    dweight[i] = static_cast<float>(sum);
  }
  for (ptrdiff_t r = 0; r < rows; ++r) {
    double mean = 0;
    for (ptrdiff_t i = 0; i < features; ++i) mean += scaled(r, i) * normalized(r, i) / features;
    for (ptrdiff_t i = 0; i < features; ++i) {
      dx[r * features + i] =
          static_cast<float>(statistics[r] * (scaled(r, i) - normalized(r, i) * mean));
    }
  }
}

}  // extern "C"
}  // namespace apus
#endif  // HWY_ONCE
