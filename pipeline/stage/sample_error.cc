#include "pipeline/stage/sample_error.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "pipeline/tensor/rounding/kernels.h"

namespace quantfleet::pipeline {
namespace {

int64_t StrideOf(int64_t rows) { return (rows + kRowStep - 1) / kRowStep * kRowStep; }

// The sum over rows of |L' d|^2 = d' H d, of H the damped moments in units of their mean: a tile of
// columns of L at a time.
double MomentError(const ColumnFactor& factor, std::span<const float> difference) {
  const RoundingKernels& kernels = FindRoundingKernels();
  const int64_t cols = factor.columns(), count = static_cast<int64_t>(difference.size()) / cols,
                stride = StrideOf(count);
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

double ProductError(std::span<const float> difference, int64_t cols, const float* importance,
                    const ColumnFactor* factor) {
  const auto width = static_cast<size_t>(cols);
  if (factor != nullptr) {
    const double mean =
        importance == nullptr
            ? 1
            : std::accumulate(importance, importance + width, 0.0) / static_cast<double>(width);
    return mean * MomentError(*factor, difference);
  }
  double error = 0;
  for (size_t i = 0; i < difference.size(); ++i) {
    const double d = difference[i];
    error += d * d * (importance == nullptr ? 1 : importance[i % width]);
  }
  return error;
}

uint64_t ProductErrorBytes(int64_t rows, int64_t cols) {
  return static_cast<uint64_t>((cols + kTile) * StrideOf(rows)) * sizeof(float);
}

}  // namespace quantfleet::pipeline
