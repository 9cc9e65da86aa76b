#include "agent/update/sleeper.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>

namespace quantfleet::agent {

bool RealSleeper::Sleep(Duration time, std::stop_token stop) {
  std::mutex mutex;
  std::condition_variable_any wake;
  std::unique_lock lock(mutex);
  wake.wait_for(lock, stop, time, [] { return false; });
  return !stop.stop_requested();
}

Duration Backoff::Next() {
  const Duration now = next_;
  next_ = std::min(next_ * 2, most_);
  const int64_t half = std::max<int64_t>(now.count() / 2, 1);
  return Duration(now.count() - half +
                  static_cast<int64_t>(random_.Next() % static_cast<uint64_t>(half + 1)));
}

}  // namespace quantfleet::agent
