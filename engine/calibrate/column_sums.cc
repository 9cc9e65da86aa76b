#include "engine/calibrate/column_sums.h"

#include <algorithm>
#include <cmath>

#include "engine/decode/grain.h"

namespace quantfleet::engine {

void ColumnSums::Add(ThreadPool& pool, int64_t matrix, std::span<const ActivationRow> rows) {
  counts[static_cast<size_t>(matrix)] += static_cast<int64_t>(rows.size());
  double* const sum = sums.data() + matrix * cols;
  double* const square = squares.data() + matrix * cols;
  pool.ParallelFor(cols, Grain(2 * static_cast<int64_t>(rows.size())),
                   [&](int64_t begin, int64_t end) {
                     for (const ActivationRow& row : rows) {
                       const float* x = row.values;
                       for (int64_t i = begin; i < end; ++i) {
                         const double value = x[i];
                         sum[i] += value;
                         square[i] += value * value;
                       }
                     }
                   });
}

bool ColumnSums::finite() const {
  return std::ranges::all_of(squares,
                             [](double value) { return std::isfinite(static_cast<float>(value)); });
}

}  // namespace quantfleet::engine
