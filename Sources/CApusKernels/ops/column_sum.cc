#include "support/simd.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "ops/column_sum.cc"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

#include "include/apus_kernels.h"
#include "ops/row_blocks.h"
#include "support/loops-inl.h"

HWY_BEFORE_NAMESPACE();
namespace apus::HWY_NAMESPACE {

using Vector = hn::Vec<hn::ScalableTag<float>>;

void AddRow(float* y, const float* x, ptrdiff_t count) {
  Map(
      y, count, [](Vector sum, Vector v) HWY_ATTR { return hn::Add(sum, v); }, y, x);
}

/// Four rows at a time: y is then read and written once for four rows.
void ColumnSum(float* y, const float* x, ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t stride) {
  const auto add4 = [](Vector sum, Vector a, Vector b, Vector c, Vector d)
                        HWY_ATTR { return hn::Add(sum, hn::Add(hn::Add(a, b), hn::Add(c, d))); };
  ptrdiff_t r = 0;
  for (; r + 4 <= rows; r += 4, x += 4 * stride) {
    Map(y, columns, add4, y, x, x + stride, x + 2 * stride, x + 3 * stride);
  }
  for (; r < rows; ++r, x += stride) AddRow(y, x, columns);
}

}  // namespace apus::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace apus {
namespace {

HWY_EXPORT(AddRow);
HWY_EXPORT(ColumnSum);

}  // namespace

void AddInto(float* y, const float* x, ptrdiff_t count) {
  HWY_DYNAMIC_DISPATCH(AddRow)(y, x, count);
}

extern "C" {

void apus_column_sum_f32(float* y, const float* x, ptrdiff_t rows, ptrdiff_t columns,
                         ptrdiff_t x_stride, int accumulate) {
  float* totals[1] = {y};
  SumRowBlocks(totals, columns, rows, accumulate != 0,
               [&](float** sums, ptrdiff_t begin, ptrdiff_t end) {
                 HWY_DYNAMIC_DISPATCH(ColumnSum)
                 (sums[0], x + begin * x_stride, end - begin, columns, x_stride);
               });
}

void apus_column_sum_reference_f32(float* y, const float* x, ptrdiff_t rows, ptrdiff_t columns,
                                   ptrdiff_t x_stride, int accumulate) {
  for (ptrdiff_t c = 0; c < columns; ++c) {
    double sum = accumulate != 0 ? y[c] : 0;
    for (ptrdiff_t r = 0; r < rows; ++r) sum += x[r * x_stride + c];
    y[c] = static_cast<float>(sum);
  }
}

}  // extern "C"
}  // namespace apus
#endif  // HWY_ONCE
