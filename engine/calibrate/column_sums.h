// Sums over the rows of one input: of each column's values and of their squares. In F64 and in the
// order of the rows, so that they do not depend on threads. One thread at a time.
#pragma once

#include <span>
#include <vector>

#include "engine/kernels/matrix_ops.h"
#include "engine/kernels/thread_pool.h"

namespace quantfleet::engine {

struct ColumnSums {
  ColumnSums(int64_t matrices, int64_t cols)
      : cols(cols),
        counts(static_cast<size_t>(matrices)),
        sums(static_cast<size_t>(matrices * cols)),
        squares(static_cast<size_t>(matrices * cols)) {}

  void Add(ThreadPool& pool, int64_t matrix, std::span<const ActivationRow> rows);
  // False where a value was NaN, infinite, or so large that its square is.
  bool finite() const;

  int64_t cols;
  std::vector<int64_t> counts;        // rows of each matrix
  std::vector<double> sums, squares;  // [matrix][column]
};

}  // namespace quantfleet::engine
