#include "daemon/rollout/ticker.h"

#include <condition_variable>
#include <mutex>
#include <string>

namespace quantfleet::daemon {

Ticker::Ticker(Rollouts& rollouts, Duration every, std::function<void(std::string_view)> log)
    : rollouts_(rollouts),
      every_(every),
      log_(std::move(log)),
      thread_([this](const std::stop_token& stop) { Work(stop); }) {}

void Ticker::Work(const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any wake;
  std::string logged;
  while (!stop.stop_requested()) {
    const absl::Status ticked = rollouts_.Tick();
    const std::string error = ticked.ok() ? "" : Describe(ticked);
    if (!error.empty() && error != logged) log_("rollouts: " + error);
    logged = error;
    std::unique_lock lock(mutex);
    wake.wait_for(lock, stop, every_, [] { return false; });
  }
}

}  // namespace quantfleet::daemon
