#include "cli/interrupt.h"

#include <csignal>

namespace quantfleet::cli {
namespace {

sigset_t Watched() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGUSR1);  // ours: the watcher may go
  return set;
}

}  // namespace

Interrupt::Interrupt() {
  const sigset_t set = Watched();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  // A signal that comes is waited for, not handled: everything may be called here.
  watcher_ = std::jthread([this, set] {
    int signal = 0;
    while (sigwait(&set, &signal) == 0 && signal != SIGUSR1) stop_.request_stop();
  });
}

Interrupt::~Interrupt() {
  pthread_kill(watcher_.native_handle(), SIGUSR1);
  watcher_.join();
  const sigset_t set = Watched();
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

}  // namespace quantfleet::cli
