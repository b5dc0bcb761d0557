// Sums over rows, such as the gradients of a bias or a gain: a partial sum for every block of rows,
// then the partial sums in order. The blocks follow from the sizes alone, and so do the bits.
#pragma once

#include <algorithm>
#include <cstddef>

#include "include/apus_kernels.h"
#include "support/parallel.h"

namespace apus {

/// Adds `count` elements of x to y.
void AddInto(float* y, const float* x, ptrdiff_t count);

/// Runs body(sums, begin, end) over blocks of rows. `totals` are arrays of `width`, or null and
/// then skipped; sums[i] holds zeros on entry and what the block adds on return.
/// totals[i] gets their sum, added to what it held when `accumulate`.
template <size_t kCount, class Body>
void SumRowBlocks(float* (&totals)[kCount], ptrdiff_t width, ptrdiff_t rows, bool accumulate,
                  const Body& body) {
  constexpr ptrdiff_t kMostBlocks = 64;
  for (float* total : totals) {
    if (!accumulate && total != nullptr) std::fill_n(total, width, 0.0f);
  }
  const ptrdiff_t share = (rows + kMostBlocks - 1) / kMostBlocks;
  const ptrdiff_t grain = std::max(RowGrain(width), share);
  const ptrdiff_t blocks = (rows + grain - 1) / grain;
  if (blocks <= 1) return body(totals, ptrdiff_t{0}, rows);
  const ptrdiff_t block_size = static_cast<ptrdiff_t>(kCount) * width;
  const size_t bytes = static_cast<size_t>(blocks * block_size) * sizeof(float);
  float* partial = static_cast<float*>(apus_buffer_acquire(bytes));
  if (partial == nullptr) return body(totals, ptrdiff_t{0}, rows);  // no memory: slower, not wrong
  ParallelRanges(rows, grain, [&](ptrdiff_t begin, ptrdiff_t end) {
    float* own = partial + begin / grain * block_size;
    std::fill_n(own, block_size, 0.0f);
    float* sums[kCount];
    for (size_t i = 0; i < kCount; ++i) sums[i] = totals[i] == nullptr ? nullptr : own + i * width;
    body(sums, begin, end);
  });
  ParallelRanges(width, 2048, [&](ptrdiff_t begin, ptrdiff_t end) {
    for (size_t i = 0; i < kCount; ++i) {
      if (totals[i] == nullptr) continue;
      for (ptrdiff_t block = 0; block < blocks; ++block) {
        const float* sum = partial + block * block_size + i * width;
        AddInto(totals[i] + begin, sum + begin, end - begin);
      }
    }
  });
  apus_buffer_release(partial, bytes);
}

}  // namespace apus
