#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>

#include "include/apus_kernels.h"

// A handler may interrupt anything, so it sets flags and calls nothing but write and _exit.

namespace {

std::atomic<int> stop_signal{0};
std::atomic<int> checkpoint_request{0};
static_assert(std::atomic<int>::is_always_lock_free, "a signal handler must not lock");

constexpr int kStops[] = {SIGINT, SIGTERM, SIGHUP};
struct sigaction before_stops[3], before_request;
bool watching = false;
int wake_pipe = -1;  // what wakes apus_signals_wait: a byte, or its end

void OnStop(int signal) {
  int none = 0;
  if (!stop_signal.compare_exchange_strong(none, signal)) _exit(128 + signal);
  const int error = errno;
  if (write(wake_pipe, "", 1) < 0) errno = error;
}

void OnRequest(int) { checkpoint_request.store(1); }

}  // namespace

extern "C" {

int apus_signals_watch(void) {
  int ends[2];
  if (watching || pipe(ends) != 0) return -1;
  stop_signal.store(0);
  checkpoint_request.store(0);
  wake_pipe = ends[1];
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
  return ends[0];
}

int apus_signals_wait(int watch) {
  char byte;
  while (read(watch, &byte, 1) < 0 && errno == EINTR) {
  }
  close(watch);
  return stop_signal.load();
}

void apus_signals_unwatch(void) {
  if (!watching) return;
  watching = false;
  for (int i = 0; i < 3; ++i) sigaction(kStops[i], &before_stops[i], nullptr);
  sigaction(SIGUSR1, &before_request, nullptr);
  close(wake_pipe);
}

int apus_signals_stop(void) { return stop_signal.load(); }

int apus_signals_take_checkpoint_request(void) { return checkpoint_request.exchange(0); }

}  // extern "C"
