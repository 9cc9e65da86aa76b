// The ONNX emitter: from a model and a recipe to the layout of a folder for ONNX Runtime and its
// GenAI library (docs/formats/onnx.md).
#pragma once

#include "pipeline/format/target_format.h"

namespace quantfleet::pipeline {

extern const TargetFormat kOnnxFormat;

// Errors name the tensor or setting that ONNX Runtime cannot hold, and what to take instead.
absl::StatusOr<TargetLayout> PlanOnnx(const ModelSource& source, const Recipe& recipe);

}  // namespace quantfleet::pipeline
