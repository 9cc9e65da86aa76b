// The ONNX emitter: from a model and a recipe to the layout of a folder for ONNX Runtime and its
// GenAI library (docs/formats/onnx.md).
#pragma once

#include "common/base/status.h"
#include "pipeline/format/target_layout.h"
#include "pipeline/model/source.h"
#include "pipeline/recipe/recipe.h"

namespace quantfleet::pipeline {

// Errors name the tensor or setting that ONNX Runtime cannot hold, and what to take instead.
absl::StatusOr<TargetLayout> PlanOnnx(const ModelSource& source, const Recipe& recipe);

}  // namespace quantfleet::pipeline
