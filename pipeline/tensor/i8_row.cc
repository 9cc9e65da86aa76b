// I8_ROW: a row is its scale (F16) and a byte for each element, in two's complement, from -127 to
// 127: what compressed-tensors' int-quantized layout has of a weight (docs/formats/blocks.md).
#include <algorithm>
#include <cmath>

#include "common/base/bytes.h"
#include "pipeline/tensor/block_math.h"
#include "pipeline/tensor/codecs.h"
#include "pipeline/tensor/half.h"
#include "pipeline/tensor/partial_sums.h"

namespace quantfleet::pipeline {
namespace {

constexpr int64_t kCodesAt = 2;
constexpr float kLargest = 127;

void Encode(const float* values, int64_t rows, int64_t cols, const float* /*importance*/,
            std::byte* out) {
  for (int64_t r = 0; r < rows; ++r, values += cols, out += kCodesAt + cols) {
    float most = 0;
    for (int64_t i = 0; i < cols; ++i) most = std::max(most, std::fabs(values[i]));
    const uint16_t scale = FloatToHalf(most / kLargest);
    // Of the scale as it is kept. It may be less than what was rounded to it.
    const float inverse = Reciprocal(HalfToFloat(scale));
    Store(out, scale);
    for (int64_t i = 0; i < cols; ++i)
      Store(out + kCodesAt + i,
            static_cast<int8_t>(std::rint(std::clamp(values[i] * inverse, -kLargest, kLargest))));
  }
}

void Decode(const std::byte* row, int64_t n, float* out) {
  const float scale = HalfToFloat(Load<uint16_t>(row));
  for (int64_t i = 0; i < n; ++i)
    out[i] = scale * static_cast<float>(Load<int8_t>(row + kCodesAt + i));
}

float Dot(const std::byte* row, const float* x, int64_t n) {
  const float scale = HalfToFloat(Load<uint16_t>(row));
  return DotStrips(x, n, [&](int64_t first, int64_t count, float* out) {
    for (int64_t i = 0; i < count; ++i)
      out[i] = scale * static_cast<float>(Load<int8_t>(row + kCodesAt + first + i));
  });
}

}  // namespace

const Codec kI8_RowCodec = {DType::kI8_Row, Encode, Decode, Dot};

}  // namespace quantfleet::pipeline
