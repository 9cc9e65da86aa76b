// The OpenVINO emitter: from a model and a recipe to the layout of a folder that OpenVINO loads
// (docs/formats/openvino.md).
#pragma once

#include "pipeline/format/target_format.h"

namespace quantfleet::pipeline {

extern const TargetFormat kOpenVinoFormat;

// Errors name the tensor or setting that the format cannot hold, and what to take instead.
absl::StatusOr<TargetLayout> PlanOpenVino(const ModelSource& source, const Recipe& recipe);

}  // namespace quantfleet::pipeline
