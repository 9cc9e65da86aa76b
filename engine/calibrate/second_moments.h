// X^T X of one input's rows X: the sum over rows of x_i * x_j. Rows are gathered into panels, whose
// products are the engine's own in F32; panels are summed in F64. Threads do not change the result.
// One thread at a time.
#pragma once

#include <span>
#include <vector>

#include "engine/kernels/matrix_ops.h"
#include "engine/kernels/thread_pool.h"

namespace quantfleet::engine {

class SecondMoments {
 public:
  // Rows of a panel.
  static constexpr int64_t kPanel = 512;

  SecondMoments(int64_t cols, ThreadPool& pool) : cols_(cols), pool_(pool) {}

  // Values of the lower triangle: row i has columns 0 to i.
  static int64_t Values(int64_t cols) { return cols * (cols + 1) / 2; }
  // Memory that one object takes, once it has rows.
  static uint64_t Bytes(int64_t cols);

  void Add(std::span<const ActivationRow> rows);
  // The lower triangle by rows, of all rows so far; empty: there were none.
  std::span<const double> Finish();

 private:
  void SumPanel();

  const int64_t cols_;
  ThreadPool& pool_;
  int64_t filled_ = 0;            // rows of the panel
  std::vector<float> panel_;      // [column][row]
  std::vector<double> triangle_;  // of the panels before it
};

}  // namespace quantfleet::engine
