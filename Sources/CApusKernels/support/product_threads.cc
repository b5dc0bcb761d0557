#include "support/product_threads.h"

#include <dlfcn.h>

namespace apus {

void PinProductsToOneThread() {
  thread_local bool pinned = false;
  if (pinned) return;
  pinned = true;
  using SetThreads = void (*)(int);
  static const SetThreads set_threads =
      reinterpret_cast<SetThreads>(dlsym(RTLD_DEFAULT, "omp_set_num_threads"));
  if (set_threads != nullptr) set_threads(1);
}

}  // namespace apus
