// Which artifact of a rollout suits a device, by its class, or, for the agent itself, by its
// architecture. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/fleet/device_class.h"
#include "pipeline/artifact/kind.h"
#include "quantfleet/v1/manifest.pb.h"
#include "quantfleet/v1/types.pb.h"

namespace quantfleet::daemon {

struct OfferedArtifact {
  v1::Artifact artifact;
  v1::Memory memory = {};  // what running it takes
  std::vector<std::string> instruction_sets;
  std::vector<v1::EvaluationStatement> evaluations = {};  // the oldest first
  pipeline::ArtifactKind kind = pipeline::ArtifactKind::kModel;
  std::string rounding = "nearest";  // of its codes, as classes name it
  bool folded = false;
};

// QUEUED with the artifact that the class wants and the smaller ones that the device may step down
// to, or SKIPPED with the reason and its code. If the class's own is too large for the device, a
// shorter context that the class allows is used; if that is too large as well, the next smaller
// artifact takes its place. If it is not good enough for the class, or for `gate`, which holds for
// all classes, the next larger one that is takes its place; a device that cannot hold that is
// skipped.
v1::RolloutDevice MatchDevice(const v1::Device& device,
                              const std::vector<OfferedArtifact>& artifacts,
                              const std::vector<DeviceClassSpec>& classes, std::string_view model,
                              const v1::QualityLimits& gate = {});

// If the daemon does not have the row's artifact whole: so, and what to do.
std::optional<std::string> WhyDamaged(const v1::RolloutDevice& row,
                                      const std::vector<OfferedArtifact>& artifacts);

}  // namespace quantfleet::daemon
