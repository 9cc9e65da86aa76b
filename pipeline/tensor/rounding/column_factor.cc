#include "pipeline/tensor/rounding/column_factor.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace quantfleet::pipeline {
namespace {

// Moments that were rounded, or damaged, may need more than the first.
constexpr float kDampings[] = {ColumnFactor::kDamping, 0.1f, 0.5f};

}  // namespace

uint64_t ColumnFactor::Bytes(int64_t columns) {
  const int64_t tiles = (columns + kTile - 1) / kTile;
  return TileAt(tiles, 0) * sizeof(float) + static_cast<uint64_t>(columns) * 16;
}

absl::StatusOr<ColumnFactor> ColumnFactor::Build(int64_t columns, const ReadTriangle& read) {
  ColumnFactor made;
  made.columns_ = columns;
  QF_ASSIGN_OR_RETURN(const double mean, made.ReadDiagonal(read));
  for (const float damping : kDampings) {
    made.damping_ = damping;
    QF_RETURN_IF_ERROR(made.Fill(read, mean));
    if (made.Factor()) {
      made.places_.clear();
      return made;
    }
  }
  return FailedPrecondition("the second moments are not positive definite");
}

// The order, and the mean of the diagonal.
absl::StatusOr<double> ColumnFactor::ReadDiagonal(const ReadTriangle& read) {
  std::vector<float> diagonal(static_cast<size_t>(columns_));
  double sum = 0;
  for (uint64_t i = 0; i < diagonal.size(); ++i) {
    QF_RETURN_IF_ERROR(read(i * (i + 1) / 2 + i, std::span(&diagonal[i], 1)));
    if (!(diagonal[i] >= 0) || !std::isfinite(diagonal[i]))
      return InvalidArgument("the second moment of column {} is {}", i, diagonal[i]);
    sum += diagonal[i];
  }
  if (!(sum > 0)) return FailedPrecondition("all second moments are zero");
  order_.resize(diagonal.size());
  std::iota(order_.begin(), order_.end(), 0);
  std::ranges::sort(order_, {},
                    [&](int32_t column) { return std::pair(diagonal[column], column); });
  places_.resize(order_.size());
  for (size_t place = 0; place < order_.size(); ++place)
    places_[order_[place]] = static_cast<int32_t>(place);
  return sum / static_cast<double>(columns_);
}

// The lower half of the damped moments in units of their mean, in the order of columns; behind the
// last column, where a tile has more, the unit matrix.
absl::Status ColumnFactor::Fill(const ReadTriangle& read, double mean) {
  tiles_.assign(TileAt(tiles(), 0), 0.f);
  inverse_diagonal_.assign(static_cast<size_t>(tiles() * kTile), 0.f);
  const auto at = [&](int64_t row, int64_t column) -> float& {
    return tiles_[TileAt(row / kTile, column / kTile) +
                  static_cast<size_t>(column % kTile * kTile + row % kTile)];
  };
  std::vector<float> values(static_cast<size_t>(columns_));
  for (int64_t i = 0; i < columns_; ++i) {
    const std::span<float> row(values.data(), static_cast<size_t>(i + 1));
    QF_RETURN_IF_ERROR(read(static_cast<uint64_t>(i * (i + 1) / 2), row));
    for (int64_t j = 0; j <= i; ++j) {
      if (!std::isfinite(row[j]))
        return InvalidArgument("the second moment of columns {} and {} is {}", i, j, row[j]);
      const int64_t a = places_[i], b = places_[j];
      at(std::max(a, b), std::min(a, b)) =
          static_cast<float>(row[j] / mean) + (i == j ? damping_ : 0.f);
    }
  }
  for (int64_t pad = columns_; pad < tiles() * kTile; ++pad) at(pad, pad) = 1.f;
  return absl::OkStatus();
}

// Column of tiles by column of tiles, each less what those before it have of it.
bool ColumnFactor::Factor() {
  const RoundingKernels& kernels = FindRoundingKernels();
  // What is positive semidefinite has no pivot below the damping.
  const float least = 0.5f * damping_;
  for (int64_t column = 0; column < tiles(); ++column) {
    for (int64_t row = column; row < tiles(); ++row) {
      float* tile = tiles_.data() + TileAt(row, column);
      for (int64_t before = 0; before < column; ++before)
        kernels.multiply({.a = tiles_.data() + TileAt(column, before),
                          .a_depth = kTile,
                          .a_column = 1,
                          .b = tiles_.data() + TileAt(row, before),
                          .b_stride = kTile,
                          .sums = tile,
                          .stride = kTile,
                          .depth = kTile,
                          .columns = kTile,
                          .rows = kTile,
                          .subtract = true});
      float* diagonal = tiles_.data() + TileAt(column, column);
      float* inverses = inverse_diagonal_.data() + column * kTile;
      if (row == column) {
        if (!kernels.factor(diagonal, least, inverses)) return false;
      } else {
        kernels.solve(diagonal, inverses, tile);
      }
    }
  }
  return true;
}

}  // namespace quantfleet::pipeline
