// Codes chosen by what they do to a matrix's products instead of one by one. A rounder belongs to
// one thread and keeps its buffers from one strip of rows to the next; each row is rounded for
// itself, so that any cut into strips has the same bytes.
#pragma once

#include <string_view>
#include <vector>

#include "common/base/bytes.h"
#include "pipeline/tensor/rounding/block_grid.h"
#include "pipeline/tensor/rounding/column_factor.h"

namespace quantfleet::pipeline {

enum class Rounding : uint8_t {
  kNearest,   // as the codecs round: the bytes of ggml's quantizer, of MLX's and ONNX Runtime's
  kSearch,    // scales, points and biases of least error, weighed by importance
  kFeedback,  // those, and columns that make good the errors of columns before them
};

std::string_view Name(Rounding rounding);  // "nearest", "search", "feedback"
// INVALID_ARGUMENT lists them.
absl::StatusOr<Rounding> RoundingFromName(std::string_view name);

class Rounder {
 public:
  // Memory that a strip of so many rows takes here.
  static uint64_t Bytes(const BlockGrid& grid, int64_t rows, int64_t cols);

  // Blocks of rows x cols values as Codec::encode makes them, but with the scales of least sum of
  // importance[j] * error^2. Of a super-block they are near those that its codec finds.
  void Search(const BlockGrid& grid, const float* values, int64_t rows, int64_t cols,
              const float* importance, std::byte* out);
  // Gives the blocks of the same values new codes, by feedback; their scales stay. `factor` is of
  // `cols` columns.
  void FeedBack(const BlockGrid& grid, const ColumnFactor& factor, const float* values,
                int64_t rows, int64_t cols, std::byte* blocks);

 private:
  void SearchPacked(const BlockGrid& grid, const float* values, int64_t rows, int64_t cols,
                    const float* importance, std::byte* out);
  // The grids of all groups, as the blocks have them.
  void LoadGrids(const BlockGrid& grid, int64_t rows, int64_t cols, const std::byte* blocks);
  // Room for a strip; a row's neighbour in every column.
  void Fit(const BlockGrid& grid, int64_t rows, int64_t cols);
  void WriteCodes(const BlockGrid& grid, int64_t rows, int64_t cols, std::byte* blocks);

  int64_t stride_ = 0, padded_rows_ = 0;
  std::vector<float> turned_, scales_, inverses_, offsets_, sums_;
  std::vector<uint8_t> codes_;
};

}  // namespace quantfleet::pipeline
