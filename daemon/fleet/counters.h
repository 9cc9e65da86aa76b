// What happened since the process began, for /metrics. Thread-safe.
#pragma once

#include <atomic>
#include <cstdint>

namespace quantfleet::daemon {

struct FleetCounters {
  std::atomic<uint64_t> check_ins{0};
  std::atomic<uint64_t> enrollments{0}, enrollments_held{0},
      enrollments_refused{0};  // held: pending, or asked to come again
  std::atomic<uint64_t> renewals{0}, renewals_refused{0};
};

}  // namespace quantfleet::daemon
