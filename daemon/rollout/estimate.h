// How long a rollout takes if no device fails, none waits for another rollout, and nobody
// interferes. Pure.
#pragma once

#include <cstdint>
#include <vector>

#include "common/base/clock.h"
#include "quantfleet/v1/types.pb.h"

namespace quantfleet::daemon {

// The rate at which a device is assumed to download as long as none has finished a rollout: 10
// Mbit/s.
inline constexpr double kAssumedBytesPerSecond = 10e6 / 8;

// What devices took recently, from assignment to finish: medians.
struct FleetRecord {
  uint32_t devices = 0;  // how many; 0: nothing is known
  double bytes_per_second = 0;
  double seconds = 0;
};
// From rows that are HEALTHY. Those without a time or bytes do not count.
FleetRecord RecordOf(const std::vector<v1::RolloutDevice>& rows);

// For a rollout with all its rows, whose first phase opens at `now`. It simulates the plan device
// by device: delays, devices in flight, rates, windows, soak times. A device takes its artifact's
// bytes at the record's rate, which includes check-ins and activation; without a record, a check-in
// and its bytes at the assumed rate.
v1::RolloutEstimate EstimateOf(const v1::Rollout& rollout, const FleetRecord& record,
                               Duration check_in, Time now);

}  // namespace quantfleet::daemon
