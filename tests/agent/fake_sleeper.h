// Never waits, and remembers how long it was asked to. A test may act in each pause, and a clock
// may go on by it. For tests. Thread-safe but for its members that are public.
#pragma once

#include <functional>
#include <mutex>
#include <vector>

#include "agent/update/sleeper.h"

namespace quantfleet::agent {

class FakeSleeper final : public Sleeper {
 public:
  explicit FakeSleeper(ManualClock* clock = nullptr) : clock_(clock) {}
  bool Sleep(Duration time, std::stop_token stop) override {
    size_t pauses;
    {
      const std::lock_guard lock(mutex_);
      slept_.push_back(time);
      pauses = slept_.size();
    }
    if (clock_) clock_->Advance(time);
    if (on_sleep) on_sleep();
    return !stop.stop_requested() && pauses < kMaxPauses;
  }
  std::vector<Duration> slept() const {
    const std::lock_guard lock(mutex_);
    return slept_;
  }
  void Forget() {
    const std::lock_guard lock(mutex_);
    slept_.clear();
  }

  std::function<void()> on_sleep;

 private:
  static constexpr size_t kMaxPauses = 10'000;  // what waits for ever ends there
  ManualClock* const clock_;
  mutable std::mutex mutex_;
  std::vector<Duration> slept_;
};

}  // namespace quantfleet::agent
