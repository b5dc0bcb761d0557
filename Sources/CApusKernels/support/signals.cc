#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>

#if defined(__linux__)
#include <sys/prctl.h>
#endif

#include "include/apus_kernels.h"

// A handler may interrupt anything, so it sets flags and calls nothing but _exit.

namespace {

std::atomic<int> stop_signal{0};
std::atomic<int> checkpoint_request{0};
static_assert(std::atomic<int>::is_always_lock_free, "a signal handler must not lock");

constexpr int kStops[] = {SIGINT, SIGTERM, SIGHUP};
struct sigaction before_stops[3], before_request;
bool watching = false;

void OnStop(int signal) {
  int none = 0;
  if (!stop_signal.compare_exchange_strong(none, signal)) _exit(128 + signal);
}

void OnRequest(int) { checkpoint_request.store(1); }

}  // namespace

extern "C" {

void apus_signals_watch(int stops_with_parent) {
  stop_signal.store(0);
  checkpoint_request.store(0);
#if defined(__linux__)
  if (stops_with_parent) prctl(PR_SET_PDEATHSIG, SIGTERM);
#else
  (void)stops_with_parent;
#endif
  if (watching) return;
  watching = true;
  struct sigaction action = {};
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  action.sa_handler = OnStop;
  for (int i = 0; i < 3; ++i) {
    sigaction(kStops[i], nullptr, &before_stops[i]);
    // nohup and shells' background jobs ignore some signals on purpose.
    if (before_stops[i].sa_handler != SIG_IGN) sigaction(kStops[i], &action, nullptr);
  }
  action.sa_handler = OnRequest;
  sigaction(SIGUSR1, &action, &before_request);
}

void apus_signals_unwatch(void) {
  if (!watching) return;
  watching = false;
  for (int i = 0; i < 3; ++i) sigaction(kStops[i], &before_stops[i], nullptr);
  sigaction(SIGUSR1, &before_request, nullptr);
}

int apus_signals_stop(void) { return stop_signal.load(); }

int apus_signals_take_checkpoint_request(void) { return checkpoint_request.exchange(0); }

}  // extern "C"
