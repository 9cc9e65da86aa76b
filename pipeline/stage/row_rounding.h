// What rounding makes of rows of a model's pieces, and how much it changes what they are multiplied
// to: outside of a plan, for measuring. Thread-safe.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "pipeline/model/calibration.h"
#include "pipeline/model/description.h"
#include "pipeline/stage/column_factors.h"
#include "pipeline/stage/row_sample.h"
#include "pipeline/tensor/rounding/rounder.h"

namespace quantfleet::pipeline {

class RowRounding {
 public:
  // `factors`: how many are held at once, at least 1. Second moments of the calibration count for
  // feedback alone. The description must outlive it.
  RowRounding(const ModelDescription& model, const Calibration& calibration, Rounding how,
              size_t factors);

  // Memory of one factor, of the widest piece that has second moments; 0: none has.
  uint64_t FactorBytes() const;

  // Rows of the piece become what blocks of `type` hold of them, as the executor rounds them.
  // Errors are those of reading second moments.
  absl::Status Round(size_t piece, DType type, std::span<float> values);

  // For each type the mean over tokens of the squared error of the piece's products, of all its
  // rows together, as the sample tells: by second moments where the piece has some, else by
  // importance, else as if its columns were all alike and independent.
  absl::StatusOr<std::vector<double>> ErrorsOf(size_t piece, const RowSample& sample,
                                               std::span<const DType> types);

  // What could not be rounded as was asked, for people.
  std::vector<std::string> Notes() const { return factors_.Notes(); }

 private:
  absl::StatusOr<ColumnFactors::Lease> FactorOf(size_t piece);
  void RoundStrips(size_t piece, DType type, const ColumnFactor* factor, std::span<float> values);

  const ModelDescription& model_;
  const std::shared_ptr<const Importance> importance_;
  const std::shared_ptr<const SecondMoments> moments_;
  const Rounding how_;
  ColumnFactors factors_;
};

}  // namespace quantfleet::pipeline
