// The plan: for every target, each tensor's scheme, each file's exact size and where each slab of
// rows lands in it, fixed before a byte of weights is read. A value: printable, comparable, the
// same on every machine.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/format/target_layout.h"
#include "pipeline/model/calibration.h"
#include "pipeline/model/source.h"
#include "pipeline/recipe/recipe.h"
#include "pipeline/stage/fold.h"
#include "pipeline/tensor/rounding/rounder.h"

namespace quantfleet::pipeline {

struct TargetSpec {
  std::string format;  // "gguf"
  std::string recipe;  // "q4_0"
  std::optional<Recipe> own =
      {};  // set where FindRecipe does not have it: from a file, or with changes
  // How codes are chosen, of every tensor of which enough is known.
  Rounding rounding = Rounding::kNearest;
  // Whether the plan's calibration counts: its importance, and for feedback its second moments.
  bool calibrated = false;
  // Whether it is made of the model as Plan::fold has it; all targets of a plan are, or none.
  bool folded = false;

  std::string name() const { return format + "-" + recipe; }  // the artifact's folder
  std::vector<std::string> clauses() const {
    return own ? ClausesOf(*own) : std::vector<std::string>();
  }
};
bool IsTargetFormat(std::string_view format);  // "gguf"
std::string ListTargets();                     // "gguf:f32, ...; onnx:int8 also with ..."
// "gguf:q4_0". The error lists the known targets.
absl::StatusOr<TargetSpec> ParseTargetSpec(std::string_view text);
// What an error suggests when this target's half precision cannot hold values of a piece: "use
// onnx:fp32".
std::string WiderThanHalf(const TargetSpec& spec, const Piece& piece);

// One chunk of one file: rows [first_row, first_row + rows) of a piece and the padding behind them,
// or fixed bytes (header, attachments) known at planning time when piece is -1. The rows of a 1-D
// piece are its elements, here and in Slab. Rows count in the order of the target.
struct PlannedChunk {
  uint32_t file;
  uint64_t offset;
  uint32_t size;
  int32_t piece;  // index into ModelDescription::pieces
  int64_t first_row, rows;
};

struct TargetPlan {
  TargetSpec spec;
  TargetLayout layout;
  std::vector<PlannedChunk> chunks;  // by file, then offset
};

// Rows of one piece, read once and given to every target: whole chunks of each, whole source
// blocks, and whole heads where a target orders the rows within each head differently.
struct Slab {
  uint32_t piece;
  int64_t first_row, rows;
};

struct Plan {
  std::vector<TargetPlan> targets;
  std::vector<Slab> slabs;
  uint64_t source_bytes = 0;
  Calibration calibration = {};  // of this model, for the targets that take it
  // What moves between weights, in all targets; null: nothing. The calibration is then that of the
  // folded model (Folded).
  std::shared_ptr<const Fold> fold = {};

  // What a target takes of it; null: nothing.
  const Importance* ImportanceFor(const TargetSpec& spec) const {
    return spec.calibrated ? calibration.importance.get() : nullptr;
  }
  const SecondMoments* MomentsFor(const TargetSpec& spec) const {
    return spec.calibrated && spec.rounding == Rounding::kFeedback ? calibration.moments.get()
                                                                   : nullptr;
  }
};

// Every piece of the model has slabs, whether a target uses it or not: the source digest covers all
// of them. Targets of the same recipe may differ in their rounding. INVALID_ARGUMENT: a target is
// given twice, or needs more than the calibration has.
absl::StatusOr<Plan> MakePlan(const ModelSource& source, const std::vector<TargetSpec>& targets,
                              Calibration calibration = {});

}  // namespace quantfleet::pipeline
