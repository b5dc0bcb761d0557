#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "include/apus_kernels.h"

// Fresh pages cost more than the arithmetic on them, so buffers are kept and handed out again.
// Sizes are rounded up to four steps per power of two, so that a bin fits many requests and wastes
// at most a quarter.

namespace apus {
namespace {

constexpr size_t kAlignment = 64;

size_t BinSize(size_t bytes) {
  if (bytes <= 256) return 256;
  size_t power = 256;
  while (power < bytes / 2 + bytes % 2) power *= 2;  // power < bytes <= 2 · power
  const size_t step = power / 4;
  return (bytes + step - 1) / step * step;
}

class Buffers {
 public:
  static Buffers& Shared() {
    static Buffers* buffers = new Buffers;
    return *buffers;
  }

  void* Acquire(size_t bytes) {
    if (bytes > (size_t{1} << 46)) return nullptr;
    const size_t size = BinSize(bytes);
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (left_ == 0) return nullptr;
      if (left_ > 0) --left_;
      Bin& bin = bins_[size];
      in_use_ += size;
      peak_ = std::max(peak_, in_use_);
      most_ = std::max(most_, in_use_);
      bin.asked = ++clock_;
      if (!bin.buffers.empty()) {
        void* buffer = bin.buffers.back();
        bin.buffers.pop_back();
        cached_ -= size;
        return buffer;
      }
    }
    void* buffer = std::aligned_alloc(kAlignment, size);
    if (buffer == nullptr) {
      Trim();
      buffer = std::aligned_alloc(kAlignment, size);
    }
    if (buffer == nullptr) {
      std::lock_guard<std::mutex> lock(mutex_);
      in_use_ -= size;
    }
    return buffer;
  }

  void Release(void* buffer, size_t bytes) {
    if (buffer == nullptr) return;
    const size_t size = BinSize(bytes);
    std::lock_guard<std::mutex> lock(mutex_);
    in_use_ -= size;
    try {
      bins_[size].buffers.push_back(buffer);
      cached_ += size;
    } catch (...) {
      std::free(buffer);
    }
    while (in_use_ + cached_ > most_ + std::max(most_ / 4, kSlack)) FreeOldest();
  }

  void Trim() {
    std::lock_guard<std::mutex> lock(mutex_);
    while (cached_ > 0) FreeOldest();
    most_ = in_use_;
  }

  void FailAfter(ptrdiff_t count) {
    std::lock_guard<std::mutex> lock(mutex_);
    left_ = count;
  }

  size_t cached() {
    std::lock_guard<std::mutex> lock(mutex_);
    return cached_;
  }
  size_t in_use() {
    std::lock_guard<std::mutex> lock(mutex_);
    return in_use_;
  }
  size_t peak() {
    std::lock_guard<std::mutex> lock(mutex_);
    return peak_;
  }
  void ResetPeak() {
    std::lock_guard<std::mutex> lock(mutex_);
    peak_ = in_use_;
  }

 private:
  /// What is kept beyond the most that was in use, whatever the sizes.
  static constexpr size_t kSlack = size_t{64} << 20;

  struct Bin {
    std::vector<void*> buffers;
    uint64_t asked = 0;
  };

  /// Gives back one buffer of the size that was asked for longest ago.
  void FreeOldest() {
    auto oldest = bins_.end();
    for (auto bin = bins_.begin(); bin != bins_.end(); ++bin) {
      if (bin->second.buffers.empty()) continue;
      if (oldest == bins_.end() || bin->second.asked < oldest->second.asked) oldest = bin;
    }
    std::free(oldest->second.buffers.back());
    oldest->second.buffers.pop_back();
    cached_ -= oldest->first;
  }

  std::mutex mutex_;
  std::unordered_map<size_t, Bin> bins_;
  size_t in_use_ = 0, peak_ = 0, most_ = 0, cached_ = 0;
  uint64_t clock_ = 0;
  ptrdiff_t left_ = -1;
};

}  // namespace
}  // namespace apus

extern "C" {

void* apus_buffer_acquire(size_t bytes) {
  try {
    return apus::Buffers::Shared().Acquire(bytes);
  } catch (...) {
    return nullptr;
  }
}
void apus_buffer_release(void* buffer, size_t bytes) {
  apus::Buffers::Shared().Release(buffer, bytes);
}
size_t apus_buffer_bytes_in_use(void) { return apus::Buffers::Shared().in_use(); }
size_t apus_buffer_peak_bytes(void) { return apus::Buffers::Shared().peak(); }
void apus_buffer_reset_peak(void) { apus::Buffers::Shared().ResetPeak(); }
void apus_buffer_trim(void) { apus::Buffers::Shared().Trim(); }
size_t apus_buffer_bytes_cached(void) { return apus::Buffers::Shared().cached(); }
void apus_buffer_fail_after(ptrdiff_t count) { apus::Buffers::Shared().FailAfter(count); }

void apus_stop(const char* message) {
  std::fprintf(stderr, "apus: %s\n", message);
  std::abort();
}

}  // extern "C"
