// Sets of states of rollouts and their devices, as SQL lists. Private to daemon/store.
#pragma once

#include <fmt/format.h>

#include <initializer_list>
#include <string>

#include "quantfleet/v1/types.pb.h"

namespace quantfleet::daemon {

inline std::string StateList(std::initializer_list<int> states) {
  return fmt::format("{}", fmt::join(states, ", "));
}

// Its devices' reports count.
inline std::string ActiveStates() {
  return StateList({v1::Rollout::RUNNING, v1::Rollout::SOAKING, v1::Rollout::AWAITING_APPROVAL,
                    v1::Rollout::PAUSED, v1::Rollout::ROLLING_BACK});
}

// Of a device: assigned, and its outcome is still to come.
inline std::string UnderWayStates() {
  return StateList({v1::RolloutDevice::PENDING, v1::RolloutDevice::IN_PROGRESS,
                    v1::RolloutDevice::ROLLING_BACK});
}

// New devices may join.
inline std::string JoinableStates() {
  return StateList({v1::Rollout::RUNNING, v1::Rollout::SOAKING, v1::Rollout::AWAITING_APPROVAL,
                    v1::Rollout::PAUSED, v1::Rollout::COMPLETED});
}

}  // namespace quantfleet::daemon
