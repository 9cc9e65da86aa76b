// What error feedback needs of a matrix's input: the columns by how much they matter, and how the
// error of one is made good by the others. Of the second moments H (the sum of x_i * x_j over the
// rows of the input), damped, it is the lower factor L of H = L * L', with columns in rising order
// of their moment. Walked from the last to the first, column a then takes over sum_b e_b * L_ba /
// L_aa of the errors e of the columns b behind it: what is left of the error of the product is the
// least that the columns before can make of it.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "common/base/status.h"
#include "pipeline/tensor/rounding/kernels.h"

namespace quantfleet::pipeline {

class ColumnFactor {
 public:
  // Values [first, first + out.size()) of the lower triangle by rows: row i holds columns 0 .. i.
  // Called by whatever threads run tasks.
  using ReadTriangle = std::function<absl::Status(uint64_t first, std::span<float> out)>;
  // Runs task(0) to task(count - 1), in any order and on any threads, and returns when all are
  // done. Tasks do not throw.
  using Task = std::function<void(int64_t)>;
  using RunTasks = std::function<void(int64_t count, const Task& task)>;

  // What is added to the diagonal, as a part of its mean; more where that is not enough.
  static constexpr float kDamping = 0.02f;

  // INVALID_ARGUMENT where a moment is NaN, infinite, or on the diagonal negative.
  // FAILED_PRECONDITION: not positive definite, however damped, or all zero. The bits are the same
  // whoever runs the tasks.
  static absl::StatusOr<ColumnFactor> Build(int64_t columns, const ReadTriangle& read,
                                            const RunTasks& run = InOrder);
  // Becomes that of the same input with each column divided by its number (positive), in the same
  // order and with the damping divided likewise.
  void DivideInput(std::span<const float> by);
  // Memory of one, and of building it.
  static uint64_t Bytes(int64_t columns);

  int64_t columns() const { return columns_; }
  // The column that is at each place.
  const std::vector<int32_t>& order() const { return order_; }
  // What it needed of that.
  float damping() const { return damping_; }

  int64_t tiles() const { return (columns_ + kTile - 1) / kTile; }
  // Tile (row, column), row >= column, column by column.
  const float* tile(int64_t row, int64_t column) const {
    return tiles_.data() + TileAt(row, column);
  }
  const float* inverse_diagonal(int64_t tile) const {
    return inverse_diagonal_.data() + tile * kTile;
  }

 private:
  static size_t TileAt(int64_t row, int64_t column) {
    return static_cast<size_t>((row * (row + 1) / 2 + column) * kTile * kTile);
  }
  absl::StatusOr<double> ReadDiagonal(const ReadTriangle& read);
  static void InOrder(int64_t count, const Task& task);
  absl::Status Fill(const ReadTriangle& read, double mean, const RunTasks& run);
  absl::Status FillRow(const ReadTriangle& read, double mean, int64_t row);
  float& At(int64_t row, int64_t column) {
    return tiles_[TileAt(row / kTile, column / kTile) +
                  static_cast<size_t>(column % kTile * kTile + row % kTile)];
  }
  void Reduce(int64_t row, int64_t column);
  bool FactorDiagonal(int64_t tile);
  bool Factor(const RunTasks& run);

  int64_t columns_ = 0;
  float damping_ = 0;
  std::vector<int32_t> order_, places_;
  std::vector<float> tiles_, inverse_diagonal_;
};

}  // namespace quantfleet::pipeline
