#include "daemon/rollout/match.h"

#include <algorithm>
#include <utility>

#include "common/base/bytes.h"

namespace quantfleet::daemon {
namespace {

using v1::RolloutDevice;

v1::RolloutDevice Skip(v1::RolloutDevice row, RolloutDevice::Code code, std::string reason) {
  row.set_state(RolloutDevice::SKIPPED);
  row.set_code(code);
  row.set_reason(std::move(reason));
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
  if (device.device_class().empty()) return Skip(row, RolloutDevice::NO_CLASS, device.class_reason());
  const auto spec = std::ranges::find(classes, device.device_class(), &DeviceClassSpec::name);
  if (spec == classes.end())
    return Skip(row, RolloutDevice::NO_CLASS,
                fmt::format("class {} does not exist any more: the device gets another at its next check-in",
                            device.device_class()));
  const auto found = std::ranges::find_if(artifacts, [&](const OfferedArtifact& a) {
    return a.artifact.format() == spec->format && a.artifact.recipe() == spec->recipe;
  });
  if (found == artifacts.end())
    return Skip(row, RolloutDevice::NO_ARTIFACT,
                fmt::format("model {} has no artifact {}:{}: submit a job for class {}", model, spec->format,
                            spec->recipe, spec->name));
  const double memory = static_cast<double>(device.facts().memory_total_bytes());
  if (memory > 0 && static_cast<double>(found->memory_bytes) * spec->memory_headroom > memory)
    return Skip(row, RolloutDevice::TOO_LITTLE_MEMORY,
                fmt::format("{} needs {}, {} times that with class {}'s head-room; the device has {}",
                            found->artifact.name(), HumanBytes(found->memory_bytes), spec->memory_headroom,
                            spec->name, HumanBytes(device.facts().memory_total_bytes())));
  for (const std::string& isa : found->instruction_sets) {
    if (std::ranges::find(device.facts().instruction_sets(), isa) != device.facts().instruction_sets().end())
      continue;
    return Skip(row, RolloutDevice::NO_INSTRUCTION_SET,
                fmt::format("{} needs instruction set {}", found->artifact.name(), isa));
  }
  if (const auto why_not = WhyNotGoodEnough(spec->quality, found->evaluation ? &*found->evaluation : nullptr))
    return Skip(row, RolloutDevice::NOT_GOOD_ENOUGH, fmt::format("{}: {}", found->artifact.name(), *why_not));
  row.set_artifact(found->artifact.name());
  row.set_bytes(found->artifact.stored_bytes());
  row.set_state(RolloutDevice::QUEUED);
  return row;
}

}  // namespace quantfleet::daemon
