// When devices were last seen, as far as that is not written yet. Thread-safe.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>

#include "daemon/store/stored_time.h"

namespace quantfleet::daemon {

class LastSeen {
 public:
  struct Time {
    int64_t seen_ms;
    int64_t stored_ms;  // as the database has it
  };
  using Times = std::map<std::string, Time, std::less<>>;  // by device

  // Whether it is time to write them. True once each time: after a failure half a minute passes.
  bool Touch(std::string_view device, Time time) {
    std::lock_guard lock(mutex_);
    if (times_.empty()) oldest_ms_ = time.seen_ms;
    const auto [at, added] = times_.try_emplace(std::string(device), time);
    if (!added) at->second.seen_ms = LatestOf(at->second.seen_ms, time.seen_ms);
    if (IsWithin(kWriteMs, oldest_ms_, time.seen_ms)) return false;
    oldest_ms_ = time.seen_ms;
    return true;
  }
  int64_t Latest(std::string_view device, int64_t stored_ms) const {
    std::lock_guard lock(mutex_);
    const auto at = times_.find(device);
    return at == times_.end() ? stored_ms : LatestOf(stored_ms, at->second.seen_ms);
  }
  // Devices seen between the two, of which the database does not know it.
  uint64_t CountBetween(int64_t since_ms, int64_t until_ms) const {
    const auto between = [&](int64_t ms) { return ms >= since_ms && ms <= until_ms; };
    std::lock_guard lock(mutex_);
    uint64_t count = 0;
    for (const auto& [device, time] : times_)
      count += between(time.seen_ms) && !between(time.stored_ms);
    return count;
  }
  Times All() const {
    std::lock_guard lock(mutex_);
    return times_;
  }
  // The database has stored these.
  void Written(const Times& times) {
    std::lock_guard lock(mutex_);
    for (const auto& [device, time] : times) {
      const auto kept = times_.find(device);
      if (kept == times_.end()) continue;
      if (kept->second.seen_ms == time.seen_ms)
        times_.erase(kept);
      else
        kept->second.stored_ms = time.seen_ms;
    }
  }

 private:
  static constexpr int64_t kWriteMs = 30'000;

  mutable std::mutex mutex_;
  Times times_;
  int64_t oldest_ms_ = 0;
};

}  // namespace quantfleet::daemon
