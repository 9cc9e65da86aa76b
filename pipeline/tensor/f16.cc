// F16: IEEE binary16, nearest-even.
#include "pipeline/tensor/codecs.h"
#include "pipeline/tensor/half.h"
#include "pipeline/tensor/partial_sums.h"

namespace quantfleet::pipeline {
namespace {

void Encode(const float* values, int64_t rows, int64_t cols, const float*, std::byte* out) {
  const int64_t n = rows * cols;
  for (int64_t i = 0; i < n; ++i) Store(out + 2 * i, FloatToHalf(values[i]));
}

void Decode(const std::byte* blocks, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = HalfToFloat(Load<uint16_t>(blocks + 2 * i));
}

float Dot(const std::byte* blocks, const float* x, int64_t n) {
  return DotStrips(x, n, [&](int64_t first, int64_t count, float* out) {
    Decode(blocks + 2 * first, count, out);
  });
}

}  // namespace

const Codec kF16Codec = {DType::kF16, Encode, Decode, Dot};

}  // namespace quantfleet::pipeline
