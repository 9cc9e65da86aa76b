// Lets the rollouts know that time has passed: a thread that does nothing else. Rollouts::Tick,
// which tests call directly, does the work.
#pragma once

#include <functional>
#include <string_view>
#include <thread>

#include "common/base/clock.h"
#include "daemon/rollout/rollouts.h"

namespace quantfleet::daemon {

class Ticker {
 public:
  // `log`: one line for each error, unless it repeats the last one.
  Ticker(Rollouts& rollouts, Duration every, std::function<void(std::string_view)> log);
  ~Ticker() = default;  // stops and waits
  Ticker(const Ticker&) = delete;
  Ticker& operator=(const Ticker&) = delete;

 private:
  void Work(const std::stop_token& stop);

  Rollouts& rollouts_;
  const Duration every_;
  const std::function<void(std::string_view)> log_;
  std::jthread thread_;  // last: it uses the others
};

}  // namespace quantfleet::daemon
