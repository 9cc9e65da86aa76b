// From a source's tensors to logical pieces: the one place that knows which tensors may be fused.
// Pure.
#pragma once

#include "common/base/status.h"
#include "pipeline/family/family.h"

namespace quantfleet::pipeline {

// Fills model.pieces from model.family, model.hyper and model.tensors, which are named as
// `dialect` has it, then validates the whole description. Errors name the tensor that is missing,
// superfluous or of the wrong shape.
absl::Status CutPieces(Dialect dialect, ModelDescription& model);

}  // namespace quantfleet::pipeline
