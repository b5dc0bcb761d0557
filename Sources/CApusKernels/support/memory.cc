#include <atomic>
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
      in_use_ += size;
      if (in_use_ > peak_) peak_ = in_use_;
      auto& bin = bins_[size];
      if (!bin.empty()) {
        void* buffer = bin.back();
        bin.pop_back();
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
      bins_[size].push_back(buffer);
      cached_ += size;
    } catch (...) {
      std::free(buffer);
    }
  }

  void Trim() {
    std::lock_guard<std::mutex> lock(mutex_);
    for (auto& bin : bins_) {
      for (void* buffer : bin.second) std::free(buffer);
      bin.second.clear();
    }
    cached_ = 0;
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
  std::mutex mutex_;
  std::unordered_map<size_t, std::vector<void*>> bins_;
  size_t in_use_ = 0, peak_ = 0, cached_ = 0;
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

}  // extern "C"
