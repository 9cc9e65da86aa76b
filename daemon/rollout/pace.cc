#include "daemon/rollout/pace.h"

#include <algorithm>

#include "daemon/store/stored_time.h"

namespace quantfleet::daemon {
namespace {

constexpr int64_t kMinuteMs = 60'000;
// A rate is kept over this time, not from one tick to the next.
constexpr int64_t kBurstMs = 5'000;
constexpr int64_t kEpochWeekday = 4;  // 1970-01-01 was a Thursday; 1 is Monday

bool OnWeekday(const v1::MaintenanceWindow& window, int64_t day) {
  if (window.weekdays().empty()) return true;
  const auto weekday = static_cast<uint32_t>((day + kEpochWeekday - 1) % 7 + 1);
  return std::ranges::find(window.weekdays(), weekday) != window.weekdays().end();
}

double GapMs(const v1::RolloutPlan& plan) {
  return static_cast<double>(kMinuteMs) / plan.devices_per_minute();
}

// The time from which unused turns still count.
double From(const v1::Rollout& rollout, int64_t now_ms) {
  // The next turn is never further away than one gap, but by a clock that was ahead.
  if (rollout.next_told_ms() == 0 ||
      IsFuture(rollout.next_told_ms(), now_ms + static_cast<int64_t>(GapMs(rollout.plan()))))
    return static_cast<double>(now_ms);
  const double burst = std::max(GapMs(rollout.plan()), static_cast<double>(kBurstMs));
  return std::max(static_cast<double>(rollout.next_told_ms()),
                  static_cast<double>(now_ms) - burst + 1);
}

}  // namespace

bool WithinWindows(const v1::RolloutPlan& plan, Time now) {
  if (plan.windows().empty()) return true;
  const int64_t minutes = ToUnixMillis(now) / kMinuteMs, day = minutes / kDayMinutes,
                minute = minutes % kDayMinutes;
  return std::ranges::any_of(plan.windows(), [&](const v1::MaintenanceWindow& window) {
    const int64_t start = window.start_minute(), end = window.end_minute();
    if (start < end) return minute >= start && minute < end && OnWeekday(window, day);
    return (minute >= start && OnWeekday(window, day)) ||
           (minute < end && OnWeekday(window, day - 1));
  });
}

Time WindowOpens(const v1::RolloutPlan& plan, Time now) {
  if (WithinWindows(plan, now)) return now;
  // Windows begin with minutes, and each is open once a week.
  int64_t minute = ToUnixMillis(now) / kMinuteMs + 1;
  const int64_t last = minute + 8 * int64_t{kDayMinutes};
  while (minute < last && !WithinWindows(plan, FromUnixMillis(minute * kMinuteMs))) ++minute;
  return FromUnixMillis(minute * kMinuteMs);
}

uint64_t MayAssign(const v1::Rollout& rollout, uint64_t queued, uint64_t in_flight, Time now) {
  const v1::RolloutPlan& plan = rollout.plan();
  if (!WithinWindows(plan, now)) return 0;
  uint64_t most = queued;
  if (plan.max_in_flight() > 0)
    most = std::min<uint64_t>(
        most, in_flight < plan.max_in_flight() ? plan.max_in_flight() - in_flight : 0);
  if (plan.devices_per_minute() == 0) return most;
  const auto now_ms = static_cast<double>(ToUnixMillis(now));
  const double from = From(rollout, ToUnixMillis(now));
  if (from > now_ms) return 0;
  return std::min(most, static_cast<uint64_t>((now_ms - from) / GapMs(plan)) + 1);
}

int64_t NextAssignment(const v1::Rollout& rollout, uint64_t assigned, Time now) {
  if (rollout.plan().devices_per_minute() == 0) return 0;
  return static_cast<int64_t>(From(rollout, ToUnixMillis(now)) +
                              static_cast<double>(assigned) * GapMs(rollout.plan()));
}

}  // namespace quantfleet::daemon
