#include "agent/run_until_signal.h"

#include <signal.h>
#include <unistd.h>

#include <thread>

namespace quantfleet::agent {

absl::Status RunUntilSignal(const std::function<absl::Status(std::stop_token)>& run) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  // Before any thread is made, so that each inherits it.
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  absl::Status result;
  bool finished = false;  // written before the signal that main waits for
  std::jthread runner([&](std::stop_token stop) {
    result = run(stop);
    finished = true;
    ::kill(::getpid(), SIGTERM);
  });
  int number = 0;
  sigwait(&signals, &number);
  runner.request_stop();
  runner.join();
  if (!finished) return Internal("the agent did not finish");
  return result;
}

}  // namespace quantfleet::agent
