// How fast devices may be assigned: limits on devices in flight and per minute, and maintenance
// windows. Pure.
#pragma once

#include <cstdint>

#include "common/base/clock.h"
#include "quantfleet/v1/types.pb.h"

namespace quantfleet::daemon {

inline constexpr uint32_t kDayMinutes = 24 * 60;

bool WithinWindows(const v1::RolloutPlan& plan, Time now);
Time WindowOpens(const v1::RolloutPlan& plan,
                 Time now);  // the first moment from now on within a window

// How many of `queued` devices may be assigned at `now` while `in_flight` others are under way.
uint64_t MayAssign(const v1::Rollout& rollout, uint64_t queued, uint64_t in_flight, Time now);

// `assigned` devices were assigned at `now`: when the next may be.
int64_t NextAssignment(const v1::Rollout& rollout, uint64_t assigned, Time now);

}  // namespace quantfleet::daemon
