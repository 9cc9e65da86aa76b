// What a device's report does to its row in a rollout. Pure.
#pragma once

#include <string_view>

#include "common/base/clock.h"
#include "common/base/status.h"
#include "quantfleet/v1/types.pb.h"

namespace quantfleet::daemon {

bool IsInFlight(v1::RolloutDevice::State state);  // told, and neither through nor taken back

// Its rollout wants nothing of the device any more.
bool IsOver(v1::RolloutDevice::State state);

// Where a check-in takes the row; false when it says nothing new. `status`: null when the device
// does not speak of the model. The answer to the check-in carries the assignment, so a row that was
// told is IN_PROGRESS from then on.
bool Advance(v1::RolloutDevice& row, const v1::ModelStatus* status, Time now);

// The row ends here, and the device's further reports do not move it.
void Close(v1::RolloutDevice& row, v1::RolloutDevice::State state, v1::RolloutDevice::Code code,
           std::string_view reason, Time now);

// The code for what agents report as reason (agent/update).
v1::RolloutDevice::Code CodeOf(std::string_view reason);

}  // namespace quantfleet::daemon
