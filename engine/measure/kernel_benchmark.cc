#include "engine/measure/kernel_benchmark.h"

#include <algorithm>
#include <vector>

#include "engine/kernels/matrix_ops.h"
#include "pipeline/tensor/codec.h"

namespace quantfleet::engine {
namespace {

// 288 KiB of weights: within the second-level cache of what runs a model.
constexpr int64_t kRows = 256, kCols = 2048, kTokens = 8;
constexpr int64_t kUnits = kCols / kActivationUnit, kScales = kCols / kActivationBlock;

// Numbers that differ and are no special ones; what they are does not matter for the speed.
std::vector<float> Values(int64_t n) {
  std::vector<float> values(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i)
    values[static_cast<size_t>(i)] = 0.01f * static_cast<float>(i * 37 % 201 - 100);
  return values;
}

}  // namespace

double MeasureKernel(Duration most) {
  using Timer = std::chrono::steady_clock;
  constexpr pipeline::DType kType = pipeline::DType::kQ4_0;
  const MatrixOps& ops = ChosenMatrixOps();
  const int64_t row_bytes = pipeline::RowBytes(kType, kCols);
  std::vector<std::byte> weights(static_cast<size_t>(kRows * row_bytes));
  pipeline::FindCodec(kType)->encode(Values(kRows * kCols).data(), kRows, kCols, nullptr,
                                     weights.data());
  const std::vector<float> x = Values(kTokens * kCols);
  std::vector<int8_t> codes(static_cast<size_t>(kTokens * kUnits * kActivationUnit));
  std::vector<float> scales(static_cast<size_t>(kTokens * kScales)), sums(scales.size()),
      half_sums(2 * scales.size());
  std::vector<ActivationRow> batch;
  for (int64_t t = 0; t < kTokens; ++t) {
    int8_t* c = codes.data() + t * kUnits * kActivationUnit;
    float *s = scales.data() + t * kScales, *u = sums.data() + t * kScales,
          *h = half_sums.data() + t * 2 * kScales;
    ops.quantize(x.data() + t * kCols, kCols, c, s, u, h);
    batch.push_back({x.data() + t * kCols, c, s, u, h});
  }
  std::vector<float> y(static_cast<size_t>(kTokens * kRows));
  const MultiplyRows multiply = ops.multiply(kType);
  const auto end = Timer::now() + most;
  double least = 0;  // seconds of one round; the first warms up the cache and the clock
  for (bool first = true; Timer::now() < end || first; first = false) {
    const auto began = Timer::now();
    multiply(weights.data(), row_bytes, kRows, kCols, batch, y.data(), kRows);
    const double seconds = std::chrono::duration<double>(Timer::now() - began).count();
    if (least == 0 || seconds < least) least = seconds;
  }
  return least > 0 ? static_cast<double>(kRows * kCols * kTokens) / least / 1e9 : 0;
}

}  // namespace quantfleet::engine
