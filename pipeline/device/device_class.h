// Device classes as they are written, in TOML: which artifact (format, recipe) suits which
// machines, and what it has to be like there. The daemon matches machines by them (daemon/fleet),
// the operator's command reads budgets from them. Pure.
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

namespace quantfleet::pipeline {

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
  // The most bytes that an artifact's files may have together; 0: any number. A recipe that makes
  // more is replaced by the largest named one of the format that does not.
  uint64_t artifact_max_bytes = 0;
  // What codes are chosen by: "self" or the name of a text; empty: the weights alone. Then the
  // rounding is to the nearest, and nothing is folded.
  std::string calibration;
  Rounding rounding = Rounding::kNearest;
  bool fold = false;
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

// The limits in the table [quality] of a TOML file; errors of the reader show in its Finish.
v1::QualityLimits ReadQuality(TomlReader& reader);

// In place of a text's name: the model writes it.
inline constexpr std::string_view kSelfText = "self";
// INVALID_ARGUMENT: neither "self" nor the name of a file in a folder.
absl::Status CheckTextName(std::string_view name);

// Of classes, jobs and commands: whether numbers are moved between weights before they are rounded,
// where that helps. INVALID_ARGUMENT: neither "auto" nor "none".
absl::StatusOr<bool> FoldFromName(std::string_view name);

}  // namespace quantfleet::pipeline
