// The emitter of ONNX folders for Qualcomm's NPU (docs/formats/qnn.md): graphs of fixed shapes
// whose weights and activations have fixed scales.
#pragma once

#include "pipeline/format/target_format.h"

namespace quantfleet::pipeline {

// INVALID_ARGUMENT: no calibration with ranges, or a type that is not of rows; UNIMPLEMENTED: a
// model that the graphs do not express.
absl::StatusOr<TargetLayout> PlanQnn(const ModelSource& source, const Recipe& recipe,
                                     const Calibration* calibration);

}  // namespace quantfleet::pipeline
