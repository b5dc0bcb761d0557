// Working memory of one kernel call, from the pool.
#pragma once

#include <cstddef>
#include <string>

#include "include/apus_kernels.h"

namespace apus {

/// Floats that live as long as this object. Parts are cut off one after the other, each on a cache
/// line of its own; contents are undefined. Without memory the process ends with a sentence, as it
/// does when a tensor finds none.
class Scratch {
 public:
  /// Room for so many floats.
  explicit Scratch(ptrdiff_t floats) : used_(floats) { Allocate(); }
  /// Nothing yet: see `Lay`.
  Scratch() = default;
  ~Scratch() {
    if (memory_ != nullptr) apus_buffer_release(memory_, bytes_);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  /// What a part of this many floats takes.
  static constexpr ptrdiff_t Rounded(ptrdiff_t floats) { return (floats + 15) / 16 * 16; }

  float* Take(ptrdiff_t floats) {
    float* part = memory_ == nullptr ? nullptr : memory_ + used_;
    used_ += Rounded(floats);
    return part;
  }

  /// Calls `take_parts` twice: to count what it takes, and to place it.
  template <class TakeParts>
  void Lay(const TakeParts& take_parts) {
    take_parts();
    Allocate();
    take_parts();
  }

 private:
  void Allocate() {
    bytes_ = static_cast<size_t>(used_) * sizeof(float);
    memory_ = static_cast<float*>(apus_buffer_acquire(bytes_));
    if (memory_ == nullptr) {
      apus_stop(
          ("no memory left for " + std::to_string(bytes_) + " bytes of working space").c_str());
    }
    used_ = 0;
  }

  ptrdiff_t used_ = 0;
  float* memory_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace apus
