// Device classes: which artifact (format, recipe) suits a machine, decided by rules over its
// hardware facts and labels. A class is written in TOML (those in deploy/classes/*.toml are built
// into the binary). Pure and thread-safe.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"
#include "common/toml/toml_reader.h"
#include "pipeline/tensor/rounding/rounder.h"
#include "quantfleet/v1/trust.pb.h"
#include "quantfleet/v1/types.pb.h"

namespace quantfleet::daemon {

using Labels = std::map<std::string, std::string>;

// All rules that are set must hold; an empty list or a zero is not a rule.
struct ClassRules {
  std::vector<std::string> arch,
      form;  // one of these; a machine that does not know its form has form "unknown"
  uint64_t min_memory_mib = 0, max_memory_mib = 0;  // of memory_total_bytes, both inclusive
  std::vector<std::string> any_instruction_set, all_instruction_sets;
  std::vector<std::string> any_accelerator;  // "gpu" also matches "gpu:nvidia"
  std::vector<std::string> any_runtime;      // installed or allowed on the device
  std::vector<std::string> power, link;      // one of
  uint64_t min_cores = 0, min_disk_free_mib = 0;
  double min_memory_bandwidth_gbps = 0, min_kernel_gops = 0;
  Labels labels;  // the device must have each with this value
};

struct DeviceClassSpec {
  std::string name, description, format, recipe;
  // What codes are chosen by: "self" or the name of a text (calibration_texts.h); empty: the
  // weights alone. Then the rounding is to the nearest.
  std::string calibration;
  pipeline::Rounding rounding = pipeline::Rounding::kNearest;
  int64_t priority = 0;  // of the classes that match, the highest wins, then the first by name
  double memory_headroom = 1.0;  // an artifact may need at most memory_total / memory_headroom
  ClassRules match;
  // What an artifact's evaluation must show before a rollout assigns it to a device of the class.
  v1::QualityLimits quality;
  // Whether a job whose artifact for the class misses those limits makes the next larger one of the
  // format, too, and a rollout assigns that.
  bool step_up = true;
  v1::HealthPolicy health;  // what an activation must show on the device
  // Whether the device steps down to the next smaller one of the format when the artifact is too
  // large or too slow.
  bool step_down = true;
  v1::NetworkPolicy network;  // what a download may take
  // The tokens that the artifact runs with (0: the smaller of the model's and 4096), the fewest
  // that are enough (0: no fewer), and the KV cache's type (empty: the runtime's default).
  v1::ContextPolicy context;
  std::optional<v1::Runtime> runtime;  // runs the artifact in place of the agent's engine
};

// Strict: an unknown key, a wrong type or a missing field is INVALID_ARGUMENT that names line and
// key.
absl::StatusOr<DeviceClassSpec> ParseDeviceClass(std::string_view toml);

// Why the limits exclude the artifact; nullopt when they do not. `evaluation`: null when it was not
// measured. `whose` limits they are, for people.
std::optional<std::string> WhyNotGoodEnough(const v1::QualityLimits& limits,
                                            const v1::EvaluationStatement* evaluation,
                                            std::string_view whose = "the class");

// The limits in the table [quality] of a TOML file; errors of the reader show in its Finish.
v1::QualityLimits ReadQuality(TomlReader& reader);

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
