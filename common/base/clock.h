// Time as an interface, so that no test sleeps.
#pragma once

#include <atomic>
#include <chrono>

namespace quantfleet {

using Time = std::chrono::sys_time<std::chrono::milliseconds>;
using Duration = std::chrono::milliseconds;

inline int64_t ToUnixMillis(Time t) { return t.time_since_epoch().count(); }
inline Time FromUnixMillis(int64_t ms) { return Time(Duration(ms)); }

// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual Time Now() const = 0;            // wall clock; may jump
  virtual Duration Monotonic() const = 0;  // since an arbitrary start; never jumps
};

class RealClock final : public Clock {
 public:
  Time Now() const override {
    return std::chrono::time_point_cast<Duration>(std::chrono::system_clock::now());
  }
  Duration Monotonic() const override {
    return std::chrono::duration_cast<Duration>(
        std::chrono::steady_clock::now().time_since_epoch());
  }
};

class ManualClock final : public Clock {
 public:
  explicit ManualClock(Time start = FromUnixMillis(1'800'000'000'000)) : start_(start) {}
  Time Now() const override { return start_ + Duration(passed_.load()); }
  Duration Monotonic() const override { return Duration(passed_.load()); }
  void Advance(Duration by) { passed_ += by.count(); }

 private:
  const Time start_;
  std::atomic<int64_t> passed_{0};
};

}  // namespace quantfleet
