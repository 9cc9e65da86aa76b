#include "daemon/rollout/match.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "common/base/bytes.h"
#include "pipeline/artifact/agent_release.h"

namespace quantfleet::daemon {
namespace {

using v1::RolloutDevice;

v1::RolloutDevice Skip(v1::RolloutDevice row, RolloutDevice::Code code, std::string reason) {
  row.set_state(RolloutDevice::SKIPPED);
  row.set_code(code);
  row.set_reason(std::move(reason));
  return row;
}

// The class's own artifact first, then - where it steps down - each smaller one of the format, the largest first. Empty: it is
// not offered.
std::vector<const OfferedArtifact*> CandidatesOf(const DeviceClassSpec& spec, const std::vector<OfferedArtifact>& artifacts) {
  const auto own = std::ranges::find_if(artifacts, [&](const OfferedArtifact& a) {
    return a.artifact.format() == spec.format && a.artifact.recipe() == spec.recipe;
  });
  if (own == artifacts.end()) return {};
  std::vector<const OfferedArtifact*> candidates{&*own};
  if (!spec.step_down) return candidates;
  for (const OfferedArtifact& other : artifacts)
    if (other.artifact.format() == spec.format && other.artifact.size_bytes() < own->artifact.size_bytes())
      candidates.push_back(&other);
  std::sort(candidates.begin() + 1, candidates.end(), [](const OfferedArtifact* a, const OfferedArtifact* b) {
    return std::pair(b->artifact.size_bytes(), a->artifact.recipe()) < std::pair(a->artifact.size_bytes(), b->artifact.recipe());
  });
  return candidates;
}

struct Obstacle {
  RolloutDevice::Code code;
  std::string reason;
  bool too_much = false;  // a smaller one may do
};

std::optional<Obstacle> WhyNot(const v1::Device& device, const DeviceClassSpec& spec, const OfferedArtifact& offered,
                               std::string_view model) {
  const v1::Artifact& artifact = offered.artifact;
  for (const v1::Outgrown& outgrown : device.outgrown())
    if (!outgrown.forgotten() && outgrown.model() == model && outgrown.format() == artifact.format() && outgrown.recipe() == artifact.recipe())
      return Obstacle{outgrown.reason() == "too_slow" ? RolloutDevice::TOO_SLOW : RolloutDevice::OUT_OF_MEMORY,
                      fmt::format("the device stepped down from {}:{}: {}; `quantfleet device step-up {}` lets it try again",
                                  artifact.format(), artifact.recipe(), outgrown.detail(), device.id()),
                      true};
  const double memory = static_cast<double>(device.facts().memory_total_bytes());
  if (memory > 0 && static_cast<double>(offered.memory_bytes) * spec.memory_headroom > memory)
    return Obstacle{RolloutDevice::TOO_LITTLE_MEMORY,
                    fmt::format("{} needs {}, {} times that with class {}'s head-room; the device has {}", artifact.name(),
                                HumanBytes(offered.memory_bytes), spec.memory_headroom, spec.name,
                                HumanBytes(device.facts().memory_total_bytes())),
                    true};
  for (const std::string& isa : offered.instruction_sets) {
    if (std::ranges::find(device.facts().instruction_sets(), isa) != device.facts().instruction_sets().end()) continue;
    return Obstacle{RolloutDevice::NO_INSTRUCTION_SET, fmt::format("{} needs instruction set {}", artifact.name(), isa)};
  }
  if (const auto why_not = WhyNotGoodEnough(spec.quality, offered.evaluation ? &*offered.evaluation : nullptr))
    return Obstacle{RolloutDevice::NOT_GOOD_ENOUGH, fmt::format("{}: {}", artifact.name(), *why_not)};
  return std::nullopt;
}

// A release of the agent: by the device's architecture, whatever its class.
RolloutDevice MatchAgent(RolloutDevice row, const v1::Device& device, const std::vector<OfferedArtifact>& artifacts) {
  const std::string& architecture = device.facts().arch();
  const auto own = std::ranges::find_if(artifacts, [&](const OfferedArtifact& a) {
    return a.artifact.format() == pipeline::kAgentFormat && a.artifact.recipe() == architecture;
  });
  if (own == artifacts.end())
    return Skip(std::move(row), RolloutDevice::NO_ARTIFACT,
                fmt::format("there is no agent for \"{}\": publish one with `quantfleet agent publish`", architecture));
  row.set_artifact(own->artifact.name());
  row.set_bytes(own->artifact.stored_bytes());
  row.set_state(RolloutDevice::QUEUED);
  return row;
}

}  // namespace

v1::RolloutDevice MatchDevice(const v1::Device& device, const std::vector<OfferedArtifact>& artifacts,
                              const std::vector<DeviceClassSpec>& classes, std::string_view model) {
  RolloutDevice row;
  row.set_device_id(device.id());
  row.set_device_class(device.device_class());
  if (device.state() != v1::Device::ACTIVE)
    return Skip(row, RolloutDevice::REVOKED, "the device was revoked");
  if (model == pipeline::kAgentModel) return MatchAgent(std::move(row), device, artifacts);
  if (device.device_class().empty()) return Skip(row, RolloutDevice::NO_CLASS, device.class_reason());
  const auto spec = std::ranges::find(classes, device.device_class(), &DeviceClassSpec::name);
  if (spec == classes.end())
    return Skip(row, RolloutDevice::NO_CLASS,
                fmt::format("class {} does not exist any more: the device gets another at its next check-in",
                            device.device_class()));
  const std::vector<const OfferedArtifact*> candidates = CandidatesOf(*spec, artifacts);
  if (candidates.empty())
    return Skip(row, RolloutDevice::NO_ARTIFACT,
                fmt::format("model {} has no artifact {}:{}: submit a job for class {}", model, spec->format,
                            spec->recipe, spec->name));
  std::optional<Obstacle> own;  // what stands against the class's own
  for (const OfferedArtifact* candidate : candidates) {
    if (const auto obstacle = WhyNot(device, *spec, *candidate, model)) {
      if (!own) own = obstacle;
      if (!own->too_much) break;
    } else if (row.artifact().empty()) {
      row.set_artifact(candidate->artifact.name());
      row.set_bytes(candidate->artifact.stored_bytes());
    } else {
      row.add_step_down(candidate->artifact.name());
    }
  }
  if (row.artifact().empty()) return Skip(row, own->code, own->reason);
  if (own) row.set_reason(fmt::format("a smaller precision: {}", own->reason));
  row.set_state(RolloutDevice::QUEUED);
  return row;
}

}  // namespace quantfleet::daemon
