// How much there is of everything. It only reads: asking whether the daemon is ready costs no
// write.
#pragma once

#include <cstdint>
#include <limits>

#include "common/base/status.h"

namespace quantfleet::daemon {

struct Counts {
  uint64_t models = 0, artifacts = 0, devices = 0, devices_seen = 0, devices_pending = 0;
  uint64_t jobs_running = 0, jobs_queued = 0, rollouts_running = 0;
  uint64_t artifacts_damaged = 0;
  uint64_t stored_bytes = 0;  // of all artifacts; chunks that several share count for each
};

class CountStore {
 public:
  virtual ~CountStore() = default;
  // Devices heard from between the two count as devices_seen.
  virtual absl::StatusOr<Counts> Count(
      int64_t seen_since_ms, int64_t seen_until_ms = std::numeric_limits<int64_t>::max()) const = 0;
};

}  // namespace quantfleet::daemon
