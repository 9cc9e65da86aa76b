#include "pipeline/stage/row_rounding.h"

#include <algorithm>
#include <numeric>

#include "pipeline/stage/row_encoder.h"
#include "pipeline/tensor/rounding/kernels.h"

namespace quantfleet::pipeline {
namespace {

constexpr int64_t kStripRows = 128;

// The sum over rows of |L' d|^2 = d' H d, of H the damped moments in units of their mean: a tile of
// columns of L at a time. In F64 and in one order.
double MomentError(const ColumnFactor& factor, std::span<const float> difference) {
  const RoundingKernels& kernels = FindRoundingKernels();
  const int64_t cols = factor.columns(), count = static_cast<int64_t>(difference.size()) / cols,
                stride = (count + kRowStep - 1) / kRowStep * kRowStep;
  std::vector<float> turned(static_cast<size_t>(cols * stride)),
      sums(static_cast<size_t>(kTile * stride));
  const std::vector<int32_t>& order = factor.order();
  for (int64_t r = 0; r < count; ++r)
    for (int64_t i = 0; i < cols; ++i) turned[i * stride + r] = difference[r * cols + order[i]];
  double error = 0;
  for (int64_t tile = 0; tile < factor.tiles(); ++tile) {
    const int64_t columns = std::min(kTile, cols - tile * kTile);
    std::ranges::fill(sums, 0.f);
    TileProduct product{.a = nullptr,
                        .a_depth = 1,
                        .a_column = kTile,
                        .b = nullptr,
                        .b_stride = stride,
                        .sums = sums.data(),
                        .stride = stride,
                        .depth = 0,
                        .columns = columns,
                        .rows = stride,
                        .subtract = false};
    for (int64_t below = tile + 1; below < factor.tiles(); ++below) {
      product.a = factor.tile(below, tile);
      product.b = turned.data() + below * kTile * stride;
      product.depth = std::min(kTile, cols - below * kTile);
      kernels.multiply(product);
    }
    // Of the tile on the diagonal only the lower half counts.
    product.columns = 1;
    for (int64_t c = 0; c < columns; ++c) {
      product.a = factor.tile(tile, tile) + c * kTile + c;
      product.b = turned.data() + (tile * kTile + c) * stride;
      product.sums = sums.data() + c * stride;
      product.depth = columns - c;
      kernels.multiply(product);
    }
    for (int64_t i = 0; i < columns * stride; ++i)
      error += static_cast<double>(sums[i]) * static_cast<double>(sums[i]);
  }
  return error;
}

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
    encoder.codec->decode(blocks.data(), some * cols, strip);
  }
}

double RowRounding::ErrorOf(size_t piece, const ColumnFactor* factor,
                            std::span<const float> difference) const {
  const auto cols = static_cast<size_t>(model_.pieces[piece].cols);
  const float* importance = importance_ ? importance_->Of(piece) : nullptr;
  if (factor != nullptr) {
    const double mean =
        importance == nullptr ? 1 : std::accumulate(importance, importance + cols, 0.0) / cols;
    return mean * MomentError(*factor, difference);
  }
  double error = 0;
  for (size_t i = 0; i < difference.size(); ++i) {
    const double d = difference[i];
    error += d * d * (importance == nullptr ? 1 : importance[i % cols]);
  }
  return error;
}

absl::StatusOr<std::vector<double>> RowRounding::ErrorsOf(size_t piece, const RowSample& sample,
                                                          std::span<const DType> types) {
  QF_ASSIGN_OR_RETURN(const ColumnFactors::Lease lease, FactorOf(piece));
  const double of_all = static_cast<double>(sample.of) / static_cast<double>(sample.rows);
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
    errors.push_back(of_all * ErrorOf(piece, lease.factor(), rounded));
  }
  return errors;
}

}  // namespace quantfleet::pipeline
