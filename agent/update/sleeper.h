// Waiting as an interface, and the back-off that decides how long.
#pragma once

#include <stop_token>

#include "common/base/clock.h"
#include "common/base/random.h"

namespace quantfleet::agent {

// Thread-safe.
class Sleeper {
 public:
  virtual ~Sleeper() = default;
  // False when `stop` came first.
  virtual bool Sleep(Duration time, std::stop_token stop) = 0;
};

class RealSleeper final : public Sleeper {
 public:
  bool Sleep(Duration time, std::stop_token stop) override;
};

// Doubles from `first` to `most`; each wait is drawn from its upper half, so that devices that lost
// their daemon together do not return together. Not thread-safe.
class Backoff {
 public:
  Backoff(Random& random, Duration first, Duration most)
      : random_(random), first_(first), most_(most), next_(first) {}
  Duration Next();
  void Reset() { next_ = first_; }

 private:
  Random& random_;
  const Duration first_, most_;
  Duration next_;
};

}  // namespace quantfleet::agent
