// How the element-wise kernels cut their work: by sizes alone, so that the cut never changes a bit.
#pragma once

#include <cstddef>

namespace apus {

/// Elements per block where memory is the limit: a few microseconds, the price of waking a thread.
inline constexpr ptrdiff_t kMemoryGrain = 32768;
/// Elements per block where arithmetic is the limit.
inline constexpr ptrdiff_t kMathGrain = 8192;
/// From this many elements on an output is stored past the caches: it would not stay there.
inline constexpr ptrdiff_t kStreamedCount = ptrdiff_t{1} << 22;

}  // namespace apus
