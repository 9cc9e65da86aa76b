// Which types each tensor of a target can have, and the bytes that it then takes: what a mix is
// chosen from. The format says so itself, by its plans, so that what it fuses, ties, refuses or
// replaces by another type is as its artifacts have it.
#pragma once

#include <functional>
#include <map>
#include <stop_token>
#include <string_view>
#include <vector>

#include "pipeline/recipe/mix.h"
#include "pipeline/recipe/mix_recipe.h"
#include "pipeline/stage/plan.h"
#include "pipeline/stage/row_rounding.h"

namespace quantfleet::pipeline {

struct MixTable {
  std::string format;
  // Those whose type can be chosen; harms are 0 until they are filled in.
  std::vector<MixTensor> tensors;
  std::vector<std::vector<uint32_t>> pieces;  // of each tensor, by ModelDescription::pieces
  // Of some mix: where its tensors' bytes end and the files' begin is the format's affair.
  Recipe some;
  uint64_t some_bytes = 0;  // of the tensors alone

  TensorTypes TypesOf(const TypeMix& mix) const;
};

// A mix's target is `calibrated` or not, as TargetSpec has it. FAILED_PRECONDITION: no tensor can
// have more than one type.
absl::StatusOr<MixTable> MakeMixTable(const ModelSource& source, std::string_view format,
                                      bool calibrated);
// A plan of sizes alone: it knows no calibration.
absl::StatusOr<Plan> PlanSizes(const ModelSource& source, TargetSpec spec, bool calibrated);

// By piece, and of it by type: RowRounding's errors of a sample of its rows.
using PieceErrors = std::vector<std::map<DType, double>>;
struct MixErrorOptions {
  int threads = 0;  // 0: as many as cores
  int64_t rows = 256;
  std::stop_token stop = {};
  // One call at a time, with all that is measured: after each piece. An error ends the measuring.
  std::function<absl::Status(const PieceErrors& errors, size_t done, size_t all)> on_progress = {};
};
// Of all types that the table's tensors can have, and of `also` for each piece that it divides;
// what `known` (of all pieces, or empty) has is not measured again. Threads do not change a figure.
// CANCELLED when stopped.
absl::StatusOr<PieceErrors> MeasureErrors(const ModelSource& source, const MixTable& table,
                                          DType also, RowRounding& rounding,
                                          const MixErrorOptions& options, PieceErrors known = {});

}  // namespace quantfleet::pipeline
