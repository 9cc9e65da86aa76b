// How long a rollout takes if no device fails, none waits for another rollout, and nobody
// interferes. Pure.
#pragma once

#include <cstdint>
#include <vector>

#include "common/base/clock.h"
#include "quantfleet/v1/types.pb.h"

namespace quantfleet::daemon {

// What a device is taken to pull in a second while none has finished a rollout: 10 Mbit/s.
inline constexpr double kAssumedBytesPerSecond = 10e6 / 8;

// What devices took lately, from being assigned to finishing: medians.
struct FleetRecord {
  uint32_t devices = 0;  // so many; 0: nothing is known
  double bytes_per_second = 0;
  double seconds = 0;
};
// Of rows that are HEALTHY. Those that lack a time or bytes do not count.
FleetRecord RecordOf(const std::vector<v1::RolloutDevice>& rows);

// Of a rollout with all its rows, whose first phase opens at `now`. It goes through the plan device
// by device, as rollouts do: delays, devices in flight, rates, windows, soak times. A device takes
// its artifact's bytes at the record's rate, which has check-ins and activation in it; without a
// record, a check-in and its bytes at the assumed rate.
v1::RolloutEstimate EstimateOf(const v1::Rollout& rollout, const FleetRecord& record,
                               Duration check_in, Time now);

}  // namespace quantfleet::daemon
