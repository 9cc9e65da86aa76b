// How often an address has been refused an enrollment of late: who tries tokens, or tries the same
// dead one in a loop, is put off before any work is done for it. Successes do not count, so that a
// site's devices may come all at once. Thread-safe.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <string_view>

#include "common/base/clock.h"
#include "common/base/status.h"

namespace quantfleet::daemon {

class RefusalBook {
 public:
  static constexpr int kMost = 60;                              // refusals within
  static constexpr Duration kPeriod = std::chrono::minutes(1);  // that time
  static constexpr size_t kMaxAddresses = 4096;                 // remembered at a time

  explicit RefusalBook(const Clock& clock) : clock_(clock) {}

  // RESOURCE_EXHAUSTED, with a retry-after: too many refusals. An empty address is not known, and
  // not put off.
  absl::Status Check(std::string_view address);
  void Add(std::string_view address);

 private:
  struct Entry {
    Duration since;
    int refusals;
  };

  const Clock& clock_;
  std::mutex mutex_;
  std::map<std::string, Entry, std::less<>> entries_;  // guarded by mutex_
};

}  // namespace quantfleet::daemon
