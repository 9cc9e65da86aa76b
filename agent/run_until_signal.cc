#include "agent/run_until_signal.h"

#include <unistd.h>

#include <thread>

#include "common/base/stop_signals.h"

namespace quantfleet::agent {

absl::Status RunUntilSignal(const std::function<absl::Status(std::stop_token)>& run) {
  const sigset_t signals = BlockStopSignals();  // before any thread is made
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
  if (!finished) return Internal("the agent did not stop in time");
  return result;
}

}  // namespace quantfleet::agent
