// What a job makes, as its record has it: "gguf:q4_0", where a calibration counts
// "gguf:q4_0+feedback", with the rounding, and where the model is folded before
// "gguf:q4_0+feedback+fold". Pure.
#pragma once

#include <string>
#include <string_view>

#include "pipeline/stage/plan.h"
#include "quantfleet/v1/manifest.pb.h"

namespace quantfleet::daemon {

std::string JobTarget(const pipeline::TargetSpec& spec);
// INVALID_ARGUMENT lists the targets that there are.
absl::StatusOr<pipeline::TargetSpec> ParseJobTarget(std::string_view text);

// Of what a job has made.
std::string JobTargetOf(const v1::Manifest& manifest);

// Whether how codes are chosen makes any difference to it: not where floats are kept.
bool Quantizes(const pipeline::TargetSpec& spec);

}  // namespace quantfleet::daemon
