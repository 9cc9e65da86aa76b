#include "pipeline/tensor/rounding/column_factor.h"

#include <algorithm>
#include <atomic>
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

void ColumnFactor::InOrder(int64_t count, const Task& task) {
  for (int64_t i = 0; i < count; ++i) task(i);
}

absl::StatusOr<ColumnFactor> ColumnFactor::Build(int64_t columns, const ReadTriangle& read,
                                                 const RunTasks& run) {
  ColumnFactor made;
  made.columns_ = columns;
  QF_ASSIGN_OR_RETURN(const double mean, made.ReadDiagonal(read));
  for (const float damping : kDampings) {
    made.damping_ = damping;
    QF_RETURN_IF_ERROR(made.Fill(read, mean, run));
    if (made.Factor(run)) {
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
// last column, where a tile has more, the unit matrix. A task is as many rows as a tile has.
absl::Status ColumnFactor::Fill(const ReadTriangle& read, double mean, const RunTasks& run) {
  tiles_.assign(TileAt(tiles(), 0), 0.f);
  inverse_diagonal_.assign(static_cast<size_t>(tiles() * kTile), 0.f);
  std::vector<absl::Status> filled(static_cast<size_t>(tiles()));
  run(tiles(), [&](int64_t some) {
    absl::Status& status = filled[static_cast<size_t>(some)];
    for (int64_t i = some * kTile; i < std::min(columns_, (some + 1) * kTile) && status.ok(); ++i)
      status = FillRow(read, mean, i);
  });
  for (const absl::Status& status : filled) QF_RETURN_IF_ERROR(status);
  for (int64_t pad = columns_; pad < tiles() * kTile; ++pad) At(pad, pad) = 1.f;
  return absl::OkStatus();
}

absl::Status ColumnFactor::FillRow(const ReadTriangle& read, double mean, int64_t row) {
  constexpr int64_t kAtOnce = 2048;  // of those that read, each has a stack
  float values[kAtOnce];
  for (int64_t first = 0; first <= row; first += kAtOnce) {
    const std::span<float> some(values, static_cast<size_t>(std::min(kAtOnce, row + 1 - first)));
    QF_RETURN_IF_ERROR(read(static_cast<uint64_t>(row * (row + 1) / 2 + first), some));
    for (size_t i = 0; i < some.size(); ++i) {
      const int64_t column = first + static_cast<int64_t>(i);
      if (!std::isfinite(some[i]))
        return InvalidArgument("the second moment of columns {} and {} is {}", row, column,
                               some[i]);
      const int64_t a = places_[row], b = places_[column];
      At(std::max(a, b), std::min(a, b)) =
          static_cast<float>(some[i] / mean) + (row == column ? damping_ : 0.f);
    }
  }
  return absl::OkStatus();
}

void ColumnFactor::DivideInput(std::span<const float> by) {
  for (int64_t row = 0; row < columns_; ++row) {
    const float divisor = by[static_cast<size_t>(order_[row])];
    for (int64_t tile = 0; tile <= row / kTile; ++tile)
      for (int64_t c = 0; c < kTile; ++c) At(row, tile * kTile + c) /= divisor;
    inverse_diagonal_[row] *= divisor;
  }
}

// A tile less what the columns of tiles before have of it, always in their order.
void ColumnFactor::Reduce(int64_t row, int64_t column) {
  const RoundingKernels& kernels = FindRoundingKernels();
  for (int64_t before = 0; before < column; ++before)
    kernels.multiply({.a = tiles_.data() + TileAt(column, before),
                      .a_depth = kTile,
                      .a_column = 1,
                      .b = tiles_.data() + TileAt(row, before),
                      .b_stride = kTile,
                      .sums = tiles_.data() + TileAt(row, column),
                      .stride = kTile,
                      .depth = kTile,
                      .columns = kTile,
                      .rows = kTile,
                      .subtract = true});
}

bool ColumnFactor::FactorDiagonal(int64_t tile) {
  // What is positive semidefinite has no pivot below the damping.
  const float least = 0.5f * damping_;
  Reduce(tile, tile);
  return FindRoundingKernels().factor(tiles_.data() + TileAt(tile, tile), least,
                                      inverse_diagonal_.data() + tile * kTile);
}

// Column of tiles by column of tiles: a task is a tile below the diagonal, and the first one goes
// on to the next column's diagonal, for which nothing else has to wait then.
bool ColumnFactor::Factor(const RunTasks& run) {
  std::atomic<bool> definite = FactorDiagonal(0);
  for (int64_t column = 0; definite && column < tiles(); ++column) {
    run(tiles() - column - 1, [&, column](int64_t below) {
      const int64_t row = column + 1 + below;
      Reduce(row, column);
      FindRoundingKernels().solve(tiles_.data() + TileAt(column, column), inverse_diagonal(column),
                                  tiles_.data() + TileAt(row, column));
      if (below == 0 && !FactorDiagonal(row)) definite = false;
    });
  }
  return definite;
}

}  // namespace quantfleet::pipeline
