// Which artifact of a rollout suits a device, by its class; of the agent itself, by its architecture. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/fleet/device_class.h"
#include "quantfleet/v1/types.pb.h"

namespace quantfleet::daemon {

struct OfferedArtifact {
  v1::Artifact artifact;
  uint64_t memory_bytes = 0;
  std::vector<std::string> instruction_sets;
  std::optional<v1::EvaluationStatement> evaluation = {};  // the newest
};

// QUEUED with the artifact that the class wants and the smaller ones that the device may step down to, or SKIPPED with the
// reason and its code. Where the class's own is too much for the device, the next smaller one takes its place.
v1::RolloutDevice MatchDevice(const v1::Device& device, const std::vector<OfferedArtifact>& artifacts,
                              const std::vector<DeviceClassSpec>& classes, std::string_view model);

}  // namespace quantfleet::daemon
