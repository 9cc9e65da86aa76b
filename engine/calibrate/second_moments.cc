#include "engine/calibrate/second_moments.h"

#include <algorithm>

#include "engine/decode/grain.h"
#include "engine/kernels/vector_ops.h"

namespace quantfleet::engine {
namespace {

// A tile of the triangle: so many rows of it at a time, which are what the engine multiplies with,
// and so many columns, which are the rows of its matrix.
constexpr int64_t kRows = 96, kColumns = 256;

}  // namespace

uint64_t SecondMoments::Bytes(int64_t cols) {
  return static_cast<uint64_t>(Values(cols)) * sizeof(double) +
         static_cast<uint64_t>(cols * kPanel) * sizeof(float);
}

void SecondMoments::Add(std::span<const ActivationRow> rows) {
  if (rows.empty()) return;
  panel_.resize(static_cast<size_t>(cols_ * kPanel));
  triangle_.resize(static_cast<size_t>(Values(cols_)));
  while (!rows.empty()) {
    const auto some = rows.first(std::min(rows.size(), static_cast<size_t>(kPanel - filled_)));
    pool_.ParallelFor(cols_, Grain(4 * static_cast<int64_t>(some.size())),
                      [&](int64_t begin, int64_t end) {
                        for (int64_t col = begin; col < end; ++col) {
                          float* to = panel_.data() + col * kPanel + filled_;
                          for (size_t row = 0; row < some.size(); ++row)
                            to[row] = some[row].values[col];
                        }
                      });
    filled_ += static_cast<int64_t>(some.size());
    rows = rows.subspan(some.size());
    if (filled_ == kPanel) SumPanel();
  }
}

void SecondMoments::SumPanel() {
  struct Tile {
    int64_t row, col;
  };
  std::vector<Tile> tiles;
  for (int64_t row = 0; row < cols_; row += kRows)
    for (int64_t col = 0; col < std::min(cols_, row + kRows); col += kColumns)
      tiles.push_back({row, col});
  std::vector<float> products(static_cast<size_t>(pool_.threads() * kRows * kColumns));
  const MultiplyRows multiply = ChosenMatrixOps().multiply(pipeline::DType::kF32);
  const VectorOps& ops = ChosenOps();
  const auto count = static_cast<int64_t>(tiles.size());
  pool_.ParallelForByThread(count, 1, [&](int thread, int64_t begin, int64_t end) {
    float* const out = products.data() + thread * kRows * kColumns;
    for (int64_t at = begin; at < end; ++at) {
      const auto [first, col] = tiles[static_cast<size_t>(at)];
      const int64_t last = std::min(cols_, first + kRows),
                    cols = std::min({cols_ - col, kColumns, last - col});
      ActivationRow rows[kRows];
      for (int64_t row = first; row < last; ++row)
        rows[row - first] = {panel_.data() + row * kPanel, nullptr, nullptr, nullptr, nullptr};
      const float* const columns = panel_.data() + col * kPanel;
      if (multiply != nullptr) {
        multiply(reinterpret_cast<const std::byte*>(columns), kPanel * sizeof(float), cols, filled_,
                 std::span(rows, static_cast<size_t>(last - first)), out, kColumns);
      } else {
        for (int64_t row = first; row < last; ++row)
          for (int64_t c = 0; c < cols; ++c)
            out[(row - first) * kColumns + c] =
                ops.dot(rows[row - first].values, columns + c * kPanel, filled_);
      }
      for (int64_t row = first; row < last; ++row) {
        double* const to = triangle_.data() + Values(row) + col;
        const float* const from = out + (row - first) * kColumns;
        const int64_t within = std::min(cols, row + 1 - col);
        for (int64_t c = 0; c < within; ++c) to[c] += from[c];
      }
    }
  });
  filled_ = 0;
}

std::span<const double> SecondMoments::Finish() {
  if (filled_ > 0) SumPanel();
  return triangle_;
}

}  // namespace quantfleet::engine
