// The target gguf:as-is: a GGUF source's own bytes, cut into chunks as any other artifact's. Pure,
// but for reading what is no weight.
#pragma once

#include "pipeline/format/target_layout.h"
#include "pipeline/model/source.h"
#include "pipeline/recipe/recipe.h"

namespace quantfleet::pipeline {

// INVALID_ARGUMENT: the source is no GGUF, or the recipe has changes or importance.
absl::StatusOr<TargetLayout> PlanAsIs(const ModelSource& source, const Recipe& recipe,
                                      bool has_importance);

}  // namespace quantfleet::pipeline
