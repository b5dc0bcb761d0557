// The one thread pool. Work is cut into blocks by the caller, by sizes alone, so that results do
// not depend on how many threads take the blocks.
#pragma once

#include <cstddef>

namespace apus {

using BlockFunction = void (*)(void* context, ptrdiff_t block);

/// Runs function(context, 0 ..< blocks) on the pool and returns when all are done. The calling
/// thread works too. Calls from inside a block run serially, in place.
void RunBlocks(ptrdiff_t blocks, BlockFunction function, void* context);

/// Runs body(block) for every block in 0 ..< blocks.
template <class Body>
void ParallelBlocks(ptrdiff_t blocks, const Body& body) {
  if (blocks <= 0) return;
  if (blocks == 1) return body(ptrdiff_t{0});
  RunBlocks(
      blocks, [](void* context, ptrdiff_t block) { (*static_cast<const Body*>(context))(block); },
      const_cast<void*>(static_cast<const void*>(&body)));
}

/// Runs body(begin, end) over 0 ..< count in blocks of `grain`.
template <class Body>
void ParallelRanges(ptrdiff_t count, ptrdiff_t grain, const Body& body) {
  if (grain < 1) grain = 1;
  ParallelBlocks((count + grain - 1) / grain, [&](ptrdiff_t block) {
    const ptrdiff_t begin = block * grain;
    body(begin, begin + grain < count ? begin + grain : count);
  });
}

/// Rows per block so that a block touches about 16,384 elements: a function of the sizes alone.
inline ptrdiff_t RowGrain(ptrdiff_t columns) {
  const ptrdiff_t rows = 16384 / (columns < 1 ? 1 : columns);
  return rows < 1 ? 1 : rows;
}

}  // namespace apus
