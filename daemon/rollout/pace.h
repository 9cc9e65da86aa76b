// How fast devices may be told: at most so many under way, so many a minute, within maintenance
// windows. Pure.
#pragma once

#include <cstdint>

#include "common/base/clock.h"
#include "quantfleet/v1/types.pb.h"

namespace quantfleet::daemon {

inline constexpr uint32_t kDayMinutes = 24 * 60;

bool WithinWindows(const v1::RolloutPlan& plan, Time now);
Time WindowOpens(const v1::RolloutPlan& plan,
                 Time now);  // the first moment from now on that is within

// How many of `queued` devices may be told at `now` while `in_flight` others are under way.
uint64_t MayTell(const v1::Rollout& head, uint64_t queued, uint64_t in_flight, Time now);

// `told` devices were told at `now`: when the next may be.
int64_t NextTold(const v1::Rollout& head, uint64_t told, Time now);

}  // namespace quantfleet::daemon
