// Which device class a machine belongs to, decided by rules over its hardware facts and labels, and
// whether an artifact is good enough for it. Classes are written in TOML
// (pipeline/device/device_class.h); those in deploy/classes/*.toml are built into the binary. Pure
// and thread-safe.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"
#include "pipeline/device/device_class.h"
#include "quantfleet/v1/trust.pb.h"
#include "quantfleet/v1/types.pb.h"

namespace quantfleet::daemon {

using pipeline::ClassRules;
using pipeline::DeviceClassSpec;
using pipeline::Labels;
using pipeline::ParseDeviceClass;
using pipeline::ReadQuality;

// Why the limits exclude the artifact; nullopt when they do not. `evaluation`: null when it was not
// measured. `whose` limits they are, for people.
std::optional<std::string> WhyNotGoodEnough(const v1::QualityLimits& limits,
                                            const v1::EvaluationStatement* evaluation,
                                            std::string_view whose = "the class");

struct ClassMatch {
  std::string name;    // empty: no class matches
  std::string reason;  // why this one and not the others
};
// `pinned`: this class takes precedence if it matches; otherwise the reason says why it does not.
ClassMatch MatchClass(const v1::HardwareFacts& facts, const Labels& labels,
                      const std::vector<DeviceClassSpec>& classes, std::string_view pinned = {});
// Sets the device's class, and the reason, by its facts, labels and pinned class.
void Classify(v1::Device& device, const std::vector<DeviceClassSpec>& classes);

struct ShippedClass {
  std::string_view name;  // of the file, without .toml
  std::string_view toml;
};
const std::vector<ShippedClass>& ShippedClasses();  // generated from deploy/classes at build time

}  // namespace quantfleet::daemon
