// A fold: numbers that move from weights to the norms and products before them, so that four bits
// hold the weights better, and what the model computes stays what it was
// (docs/decisions/0060-folds.md). A value, chosen before the pass (choose_fold.h) and a part of
// what an artifact is made by.
#pragma once

#include <memory>
#include <vector>

#include "common/base/digest.h"
#include "pipeline/family/fold_sites.h"
#include "pipeline/model/calibration.h"
#include "pipeline/model/description.h"

namespace quantfleet::pipeline {

struct Fold {
  using Factors = std::shared_ptr<const std::vector<float>>;
  // What a piece's values are multiplied by, row by row (of a vector: element by element) and
  // column by column. Null: they stay. All are positive.
  struct OfPiece {
    Factors rows = {}, columns = {};
    explicit operator bool() const { return rows != nullptr || columns != nullptr; }
  };
  std::vector<OfPiece> pieces;   // by ModelDescription::pieces
  size_t sites = 0, folded = 0;  // that could be, and that are
  Digest digest = {};            // of all factors
};

// Column c of a site's consumers is multiplied by its number's scale, what produces the number
// divided by it. `scales`: of each site its `width` numbers, all positive, or none where it stays.
Fold FoldBy(const ModelDescription& model, const std::vector<FoldSite>& sites,
            const std::vector<std::vector<float>>& scales);

// Of no weights: nothing moves.
inline const Fold::OfPiece& FactorsOf(const Fold* fold, size_t piece) {
  static const Fold::OfPiece kNone;
  return fold == nullptr || piece >= fold->pieces.size() ? kNone : fold->pieces[piece];
}

// Multiplies rows [row, row + rows) of `cols` values each, of a piece whose values lack something
// (Piece::lacks) in place.
void ApplyFold(const Fold::OfPiece& factors, float lacks, int64_t row, int64_t rows, int64_t cols,
               float* values);

// What was measured, less the ranges, as it is of the folded model: its inputs are the smaller the
// larger their columns' factors. INVALID_ARGUMENT: moments that pieces share which are folded
// otherwise.
absl::StatusOr<Calibration> Folded(const Calibration& calibration, const Fold& fold);

}  // namespace quantfleet::pipeline
