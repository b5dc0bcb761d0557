#include <cstring>

#include "include/apus_kernels.h"
#include "ops/row_blocks.h"

namespace apus {
namespace {

void CopyRow(float* y, const float* x, ptrdiff_t count, bool accumulate) {
  if (accumulate) return AddInto(y, x, count);
  std::memmove(y, x, static_cast<size_t>(count) * sizeof(float));
}

}  // namespace

extern "C" {

void apus_copy_rows_f32(float* y, const float* x, ptrdiff_t rows, ptrdiff_t columns,
                        ptrdiff_t y_stride, ptrdiff_t x_stride, int accumulate) {
  const bool dense = y_stride == columns && x_stride == columns;
  if (dense) {
    const ptrdiff_t grain = RowGrain(1);
    return ParallelRanges(rows * columns, grain, [&](ptrdiff_t begin, ptrdiff_t end) {
      CopyRow(y + begin, x + begin, end - begin, accumulate != 0);
    });
  }
  ParallelRanges(rows, RowGrain(columns), [&](ptrdiff_t begin, ptrdiff_t end) {
    for (ptrdiff_t r = begin; r < end; ++r) {
      CopyRow(y + r * y_stride, x + r * x_stride, columns, accumulate != 0);
    }
  });
}

}  // extern "C"
}  // namespace apus
