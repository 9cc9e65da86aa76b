// How much there is of everything. It only reads: asking whether the daemon is ready costs no
// write.
#pragma once

#include <cstdint>

#include "common/base/status.h"

namespace quantfleet::daemon {

struct Counts {
  uint64_t models = 0, artifacts = 0, devices = 0, devices_seen = 0, devices_pending = 0;
  uint64_t jobs_running = 0, jobs_queued = 0, rollouts_running = 0;
  uint64_t stored_bytes = 0;  // of all artifacts; chunks that several share count for each
};

class CountStore {
 public:
  virtual ~CountStore() = default;
  // `seen_since_ms`: devices heard from at or after it count as devices_seen.
  virtual absl::StatusOr<Counts> Count(int64_t seen_since_ms) const = 0;
};

}  // namespace quantfleet::daemon
