// A rollout for people. Pure.
#pragma once

#include <string>
#include <vector>

#include "common/base/clock.h"
#include "quantfleet/v1/types.pb.h"

namespace quantfleet::cli {

std::string RolloutCounts(const v1::Rollout& rollout);  // "2 healthy, 1 pending"
std::string RolloutText(const v1::Rollout& rollout, Time now);
// "about 1h 5m: assumed ...; without ...", with the estimate's notes; empty when there is none.
std::string EstimateText(const v1::Rollout& rollout);
// A line for each class and reason: "3 devices of class mac-mlx-int4: NO_ARTIFACT: ...", of the
// rows that the rollout leaves out.
std::vector<std::string> LeftOutText(const v1::Rollout& rollout);
std::string DryRunText(const v1::Rollout& rollout);
std::string ShortReason(const v1::RolloutDevice& device);  // "DISK_FULL: disk_full: 3 MiB missing"

}  // namespace quantfleet::cli
