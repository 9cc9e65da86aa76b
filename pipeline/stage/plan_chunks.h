// From layouts to a plan: chunks of every file, slabs of every piece. Pure; knows no format.
#pragma once

#include <utility>
#include <vector>

#include "pipeline/stage/plan.h"

namespace quantfleet::pipeline {

// INVALID_ARGUMENT or UNIMPLEMENTED names a tensor that cannot be quantized; INTERNAL names a
// layout that contradicts itself (holes, overlaps, wrong sizes): a bug of the format's writer,
// refused before anything is written.
absl::StatusOr<Plan> PlanFromLayouts(const ModelDescription& model,
                                     std::vector<std::pair<TargetSpec, TargetLayout>> layouts);

// Rows of a head where some target orders the rows of this piece differently from the source, else
// 1.
int64_t PermutedHeadRows(const ModelDescription& model, const Plan& plan, uint32_t piece);

}  // namespace quantfleet::pipeline
