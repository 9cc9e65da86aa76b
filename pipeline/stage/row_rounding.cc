#include "pipeline/stage/row_rounding.h"

#include <algorithm>

#include "pipeline/stage/row_encoder.h"
#include "pipeline/stage/sample_error.h"

namespace quantfleet::pipeline {
namespace {

constexpr int64_t kStripRows = 128;

}  // namespace

RowRounding::RowRounding(const ModelDescription& model, const Calibration& calibration,
                         Rounding how, size_t factors)
    : model_(model),
      importance_(calibration.importance),
      moments_(how == Rounding::kFeedback ? calibration.moments : nullptr),
      how_(how),
      factors_(moments_.get()) {
  factors_.SetSlots(std::max<size_t>(factors, 1));
}

uint64_t RowRounding::FactorBytes() const {
  uint64_t most = 0;
  if (!moments_) return most;
  for (size_t p = 0; p < model_.pieces.size(); ++p)
    if (moments_->InputOf(p) >= 0)
      most = std::max(most, ColumnFactor::Bytes(model_.pieces[p].cols));
  return most;
}

absl::StatusOr<ColumnFactors::Lease> RowRounding::FactorOf(size_t piece) {
  const int64_t input = moments_ ? moments_->InputOf(piece) : -1;
  if (input < 0) return ColumnFactors::Lease();
  return factors_.Take(input, model_.pieces[piece].cols);
}

absl::Status RowRounding::Round(size_t piece, DType type, std::span<float> values) {
  QF_ASSIGN_OR_RETURN(const ColumnFactors::Lease lease, FactorOf(piece));
  RoundStrips(piece, type, lease.factor(), values);
  return absl::OkStatus();
}

void RowRounding::RoundStrips(size_t piece, DType type, const ColumnFactor* factor,
                              std::span<float> values) {
  const int64_t cols = model_.pieces[piece].cols;
  const RowEncoder encoder{FindCodec(type),
                           how_ == Rounding::kNearest ? nullptr : FindBlockGrid(type),
                           importance_ ? importance_->Of(piece) : nullptr, factor};
  Rounder rounder;
  Bytes blocks(static_cast<size_t>(kStripRows * RowBytes(type, cols)));
  const auto rows = static_cast<int64_t>(values.size()) / cols;
  for (int64_t first = 0; first < rows; first += kStripRows) {
    const int64_t some = std::min(kStripRows, rows - first);
    float* strip = values.data() + first * cols;
    encoder.Encode(rounder, strip, some, cols, blocks.data());
    for (int64_t r = 0; r < some; ++r)
      encoder.codec->decode(blocks.data() + r * RowBytes(type, cols), cols, strip + r * cols);
  }
}

absl::StatusOr<std::vector<double>> RowRounding::ErrorsOf(size_t piece, const RowSample& sample,
                                                          std::span<const DType> types) {
  QF_ASSIGN_OR_RETURN(const ColumnFactors::Lease lease, FactorOf(piece));
  const double of_all = static_cast<double>(sample.of) / static_cast<double>(sample.rows);
  const float* importance = importance_ ? importance_->Of(piece) : nullptr;
  std::vector<double> errors;
  for (const DType type : types) {
    // Copied as it is.
    if (type == model_.tensors[model_.pieces[piece].tensor].dtype) {
      errors.push_back(0);
      continue;
    }
    std::vector<float> rounded = sample.values;
    RoundStrips(piece, type, lease.factor(), rounded);
    for (size_t i = 0; i < rounded.size(); ++i) rounded[i] -= sample.values[i];
    errors.push_back(of_all * ProductError(rounded, sample.cols, importance, lease.factor()));
  }
  return errors;
}

}  // namespace quantfleet::pipeline
