// A stored time against now. What was written while the clock was ahead lies in the future once the
// clock is right, and says nothing about the past: it is neither "lately" nor something to wait
// for. Times are milliseconds since 1970. Pure functions.
#pragma once

#include <algorithm>
#include <cstdint>

namespace quantfleet::daemon {

// By so much "now" may differ between two threads: one that reads the clock and waits for a
// transaction, and one that writes meanwhile.
inline constexpr int64_t kSameMomentMs = 5'000;

inline bool IsFuture(int64_t stored_ms, int64_t now_ms) {
  return stored_ms > now_ms + kSameMomentMs;
}
// It happened, and not longer ago than that.
inline bool IsWithin(int64_t window_ms, int64_t stored_ms, int64_t now_ms) {
  return !IsFuture(stored_ms, now_ms) && now_ms - stored_ms < window_ms;
}
// What was noted last of `stored_ms`, and `now_ms`, which was noted after it: the later one, unless
// the stored one is of a clock that was ahead.
inline int64_t LatestOf(int64_t stored_ms, int64_t now_ms) {
  return IsFuture(stored_ms, now_ms) ? now_ms : std::max(stored_ms, now_ms);
}

}  // namespace quantfleet::daemon
