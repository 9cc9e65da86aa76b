// Which artifact of a rollout suits a device, by its class. Pure.
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

// QUEUED with the artifact, or SKIPPED with the reason and its code.
v1::RolloutDevice MatchDevice(const v1::Device& device, const std::vector<OfferedArtifact>& artifacts,
                              const std::vector<DeviceClassSpec>& classes, std::string_view model);

}  // namespace quantfleet::daemon
