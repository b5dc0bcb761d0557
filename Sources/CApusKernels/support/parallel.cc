#include "support/parallel.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>

#include "include/apus_kernels.h"
#include "support/product_threads.h"

#if defined(__x86_64__)
#include <immintrin.h>
static inline void Pause() { _mm_pause(); }
#else
static inline void Pause() {}
#endif

namespace apus {
namespace {

thread_local bool inside_block = false;

/// Workers wait by spinning for a moment (the next kernel usually follows within microseconds),
/// then sleep. A job is published by raising `generation_`; blocks are taken from one counter.
class Pool {
 public:
  static Pool& Shared() {
    static Pool* pool = new Pool;  // never destroyed: workers may outlive static destruction
    return *pool;
  }

  int threads() const { return threads_.load(std::memory_order_relaxed); }

  int SetThreads(int count) {
    std::lock_guard<std::mutex> run(run_mutex_);
    const int cores = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
    if (count <= 0 || count > cores) count = cores;
    while (static_cast<int>(workers_) < count - 1) {
      try {
        std::thread(&Pool::Work, this, workers_ + 1).detach();
      } catch (...) {
        count = static_cast<int>(workers_) + 1;
        break;
      }
      ++workers_;
    }
    threads_.store(count, std::memory_order_relaxed);
    return count;
  }

  void Run(ptrdiff_t blocks, BlockFunction function, void* context) {
    if (inside_block || threads() == 1) return RunHere(blocks, function, context);
    std::unique_lock<std::mutex> run(run_mutex_, std::try_to_lock);
    // A second thread calling while the pool is busy does its own work itself.
    if (!run.owns_lock()) return RunHere(blocks, function, context);
    const int helpers = static_cast<int>(std::min<ptrdiff_t>(threads() - 1, blocks - 1));
    function_ = function;
    context_ = context;
    blocks_ = blocks;
    next_.store(0, std::memory_order_relaxed);
    pending_.store(helpers, std::memory_order_relaxed);
    seats_.store(helpers, std::memory_order_release);
    generation_.fetch_add(1, std::memory_order_seq_cst);
    if (sleepers_.load(std::memory_order_seq_cst) > 0) {
      std::lock_guard<std::mutex> lock(sleep_mutex_);
      wake_.notify_all();
    }
    TakeBlocks();
    // Seats that no worker took in time are taken back, so a sleeping worker delays no one.
    const int untaken = seats_.exchange(0, std::memory_order_acq_rel);
    if (untaken > 0) pending_.fetch_sub(untaken, std::memory_order_acq_rel);
    while (pending_.load(std::memory_order_acquire) > 0) Pause();
  }

 private:
  Pool() { SetThreads(0); }

  static void RunHere(ptrdiff_t blocks, BlockFunction function, void* context) {
    PinProductsToOneThread();
    const bool outer = inside_block;
    inside_block = true;
    for (ptrdiff_t block = 0; block < blocks; ++block) function(context, block);
    inside_block = outer;
  }

  void TakeBlocks() {
    PinProductsToOneThread();
    inside_block = true;
    for (;;) {
      const ptrdiff_t block = next_.fetch_add(1, std::memory_order_relaxed);
      if (block >= blocks_) break;
      function_(context_, block);
    }
    inside_block = false;
  }

  void Work(int) {
    uint64_t seen = 0;
    for (;;) {
      uint64_t now = generation_.load(std::memory_order_acquire);
      for (int spin = 0; now == seen && spin < 4000; ++spin) {
        Pause();
        now = generation_.load(std::memory_order_acquire);
      }
      if (now == seen) {
        std::unique_lock<std::mutex> lock(sleep_mutex_);
        sleepers_.fetch_add(1, std::memory_order_seq_cst);
        wake_.wait(lock, [&] { return generation_.load(std::memory_order_seq_cst) != seen; });
        sleepers_.fetch_sub(1, std::memory_order_seq_cst);
        now = generation_.load(std::memory_order_acquire);
      }
      seen = now;
      // A seat is a promise to finish: only seated workers are waited for.
      int seats = seats_.load(std::memory_order_acquire);
      while (seats > 0 &&
             !seats_.compare_exchange_weak(seats, seats - 1, std::memory_order_acq_rel)) {
      }
      if (seats <= 0) continue;
      TakeBlocks();
      pending_.fetch_sub(1, std::memory_order_release);
    }
  }

  std::mutex run_mutex_, sleep_mutex_;
  std::condition_variable wake_;
  std::atomic<int> threads_{1};
  int workers_ = 0;
  std::atomic<uint64_t> generation_{0};
  std::atomic<ptrdiff_t> next_{0};
  std::atomic<int> pending_{0}, seats_{0}, sleepers_{0};
  BlockFunction function_ = nullptr;
  void* context_ = nullptr;
  ptrdiff_t blocks_ = 0;
};

}  // namespace

void RunBlocks(ptrdiff_t blocks, BlockFunction function, void* context) {
  Pool::Shared().Run(blocks, function, context);
}

}  // namespace apus

extern "C" {

int apus_set_threads(int count) { return apus::Pool::Shared().SetThreads(count); }
int apus_threads(void) { return apus::Pool::Shared().threads(); }

}  // extern "C"
