// The time as far as a device can know it. A device without a battery boots in 1970, or at the time
// when it stopped weeks ago; its daemon's time, once learned over an authenticated connection,
// counts from then on. Thread-safe.
#pragma once

#include <mutex>
#include <optional>

#include "common/base/clock.h"
#include "common/trust/validity.h"

namespace quantfleet::agent {

class TrustedClock final : public Clock {
 public:
  explicit TrustedClock(const Clock& system) : system_(system) {}

  // It is at least this late: the daemon's time as last saved, or the beginning of a certificate.
  void RaiseFloor(Time floor);
  // The daemon said so over a connection whose CA was verified. Earlier than what is known to have
  // passed, it is not believed (time that stands still would keep a stolen certificate alive)
  // unless this machine's own clock says the same: then what was known came of a clock that was
  // ahead, and is forgotten. Whether it was believed.
  bool HearServer(Time server_time);
  // It is this time, whatever was known: proven by a certificate of the CA.
  void Reset(Time proven);

  // The daemon's time, advanced by the monotonic clock; before it is known, the system's, but not
  // below the floor.
  Time Now() const override;
  Duration Monotonic() const override { return system_.Monotonic(); }
  // What this machine's own clock says.
  Time System() const { return system_.Now(); }

  // The time for checking certificates. nullopt: the system's clock is behind what is known to have
  // passed and the daemon's time is not known yet, so nobody knows what time it is.
  std::optional<Time> ForValidity() const;

 private:
  struct Heard {
    Time server_time;
    Duration at;  // monotonic
  };
  Time FromServer() const { return heard_->server_time + (system_.Monotonic() - heard_->at); }

  const Clock& system_;
  mutable std::mutex mutex_;
  Time floor_ = trust::kEarliestTime;
  std::optional<Heard> heard_;
};

}  // namespace quantfleet::agent
