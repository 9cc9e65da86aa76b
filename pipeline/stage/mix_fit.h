// The best mix of a target under a budget that is counted as devices count it: bytes of all files,
// headers included, or memory that running it takes. Pure but for planning.
#pragma once

#include <string>
#include <string_view>

#include "pipeline/stage/mix_table.h"
#include "pipeline/stage/plan_text.h"

namespace quantfleet::pipeline {

// Both hold where both are set; 0 is no bound.
struct MixBudget {
  uint64_t bytes = 0;  // of the artifact's files
  RunWish run = {};    // what run.device_bytes holds with that context
};

// Bytes by which the plan's only target exceeds the budget; negative: as many are left.
absl::StatusOr<int64_t> ExcessOf(const Plan& plan, const MixBudget& budget);

// Adds up the harm of each choice: the pieces' errors by the pieces' weights
// (ModelDescription::pieces).
void FillHarms(const PieceErrors& errors, std::span<const double> weights, MixTable& table);

struct FittedMix {
  TypeMix mix;
  Recipe recipe;
  uint64_t bytes = 0;  // of all files
};
// RESOURCE_EXHAUSTED: the smallest mix exceeds the budget; the message has its size.
absl::StatusOr<FittedMix> FitMix(const ModelSource& source, const MixTable& table,
                                 std::string_view name, bool calibrated, const MixBudget& budget);

// The named recipe of the format whose artifact is the largest that the budget holds, nullopt:
// none.
absl::StatusOr<std::optional<TargetSpec>> NearestNamed(const ModelSource& source,
                                                       std::string_view format, bool calibrated,
                                                       const MixBudget& budget);

}  // namespace quantfleet::pipeline
