#include "agent/identity/trusted_clock.h"

#include <algorithm>

namespace quantfleet::agent {

void TrustedClock::RaiseFloor(Time floor) {
  std::lock_guard lock(mutex_);
  floor_ = std::max(floor_, floor);
}

bool TrustedClock::HearServer(Time server_time) {
  std::lock_guard lock(mutex_);
  if (server_time < (heard_ ? FromServer() : floor_)) {
    if (trust::ClockPair{system_.Now(), server_time}.disagree()) return false;
    floor_ = std::min(floor_, server_time);
  }
  heard_ = {server_time, system_.Monotonic()};
  return true;
}

void TrustedClock::Reset(Time proven) {
  std::lock_guard lock(mutex_);
  floor_ = std::min(floor_, proven);
  heard_ = {proven, system_.Monotonic()};
}

Time TrustedClock::Now() const {
  std::lock_guard lock(mutex_);
  return heard_ ? FromServer() : std::max(system_.Now(), floor_);
}

std::optional<Time> TrustedClock::ForValidity() const {
  std::lock_guard lock(mutex_);
  if (heard_) return FromServer();
  const Time now = system_.Now();
  return now < floor_ ? std::nullopt : std::optional(now);
}

}  // namespace quantfleet::agent
