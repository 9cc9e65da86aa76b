// Plans of rollouts: what a plan may say, the defaults of what it leaves out, and which device
// belongs to which phase. Pure.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"
#include "daemon/fleet/device_class.h"
#include "daemon/fleet/groups.h"
#include "quantfleet/v1/types.pb.h"

namespace quantfleet::daemon {

inline constexpr int32_t kMaxPriority = 1000;  // and as much below 0

// INVALID_ARGUMENT names the field.
absl::Status CheckPlan(const v1::RolloutPlan& plan);

// A checked plan with its defaults filled in: at least one phase, the last one for all the rest,
// and a device timeout.
v1::RolloutPlan CompletePlan(v1::RolloutPlan plan);

// A plan file (docs/guides/rollout.md), checked. Strict, as for device classes: the error names
// line and key.
absl::StatusOr<v1::RolloutPlan> ParsePlan(std::string_view toml);

// The groups that the plan's phases name.
std::set<std::string> GroupsOf(const v1::RolloutPlan& plan);

// Sets `phase` and `delay_ms` of the rows that are QUEUED. Which devices come early is drawn from
// rollout and device, so that it is not always the same ones. `labels`: by device. `groups`: a
// missing group has no members.
void PutInPhases(const v1::RolloutPlan& plan, std::string_view rollout, const Groups& groups,
                 const std::map<std::string, Labels>& labels, std::vector<v1::RolloutDevice>& rows);
// The same for a device that joins later: the phase of its labels or of one of its groups, or else
// the last one.
void PutInPhase(const v1::RolloutPlan& plan, std::string_view rollout, const Groups& groups,
                const Labels& labels, v1::RolloutDevice& row);

}  // namespace quantfleet::daemon
