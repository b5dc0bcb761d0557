// Working memory of one kernel call, from the pool.
#pragma once

#include <cstddef>
#include <cstdio>
#include <cstdlib>

#include "include/apus_kernels.h"

namespace apus {

/// Floats that live as long as this object. Parts are cut off one after the other, each aligned to
/// 64 bytes; contents are undefined. A kernel has no way to fail: without memory the process ends
/// with a sentence, as it does when the stack runs out.
class Scratch {
 public:
  explicit Scratch(ptrdiff_t floats) : bytes_(static_cast<size_t>(floats) * sizeof(float)) {
    next_ = buffer_ = static_cast<float*>(apus_buffer_acquire(bytes_));
    if (buffer_ != nullptr) return;
    std::fprintf(stderr, "apus: no memory for %zu bytes of working space\n", bytes_);
    std::abort();
  }
  ~Scratch() { apus_buffer_release(buffer_, bytes_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  /// What a part of this many floats takes.
  static constexpr ptrdiff_t Rounded(ptrdiff_t floats) { return (floats + 15) / 16 * 16; }

  float* Take(ptrdiff_t floats) {
    float* part = next_;
    next_ += Rounded(floats);
    return part;
  }

 private:
  size_t bytes_;
  float* buffer_;
  float* next_;
};

}  // namespace apus
