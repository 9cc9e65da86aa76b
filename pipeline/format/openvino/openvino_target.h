// The OpenVINO emitter: from a model and a recipe to the layout of a folder that OpenVINO loads
// (docs/formats/openvino.md).
#pragma once

#include "common/base/status.h"
#include "pipeline/format/target_layout.h"
#include "pipeline/model/source.h"
#include "pipeline/recipe/recipe.h"

namespace quantfleet::pipeline {

// Errors name the tensor or setting that the format cannot hold, and what to take instead.
absl::StatusOr<TargetLayout> PlanOpenVino(const ModelSource& source, const Recipe& recipe);

}  // namespace quantfleet::pipeline
