// I8_ROW and I4_ROW: a row is its scale (F16) and its codes in two's complement, from -127 to 127
// or -8 to 7, of I4 2i in a byte's lower half and 2i + 1 in its upper one (docs/formats/blocks.md).
#include <algorithm>
#include <cmath>

#include "common/base/bytes.h"
#include "pipeline/tensor/block_math.h"
#include "pipeline/tensor/codecs.h"
#include "pipeline/tensor/half.h"
#include "pipeline/tensor/partial_sums.h"

namespace quantfleet::pipeline {
namespace {

constexpr int64_t kRowCodesAt = 2;

// Scales are positive, as runtimes of such rows want them: the row's largest value becomes the
// largest code of either sign, and -8 is left to other ways of rounding.
template <int kBits>
struct OneScale {
  static constexpr float kLargest = kBits == 8 ? 127 : 7;

  static void Encode(const float* values, int64_t rows, int64_t cols, const float* /*importance*/,
                     std::byte* out) {
    for (int64_t r = 0; r < rows; ++r, values += cols, out += kRowCodesAt + cols * kBits / 8) {
      float most = 0;
      for (int64_t i = 0; i < cols; ++i) most = std::max(most, std::fabs(values[i]));
      const uint16_t scale = FloatToHalf(most / kLargest);
      // Of the scale as it is kept. It may be less than what was rounded to it.
      const float inverse = Reciprocal(HalfToFloat(scale));
      Store(out, scale);
      std::byte* codes = out + kRowCodesAt;
      const auto code = [&](int64_t i) {
        return static_cast<int>(std::rint(std::clamp(values[i] * inverse, -kLargest, kLargest)));
      };
      for (int64_t i = 0; i < cols; i += 8 / kBits) {
        if constexpr (kBits == 8)
          codes[i] = static_cast<std::byte>(code(i));
        else
          codes[i / 2] = static_cast<std::byte>((code(i) & 15) | (code(i + 1) & 15) << 4);
      }
    }
  }

  static float ValueAt(const std::byte* codes, float scale, int64_t i) {
    int code = std::to_integer<int8_t>(codes[i * kBits / 8]);
    if constexpr (kBits == 4) code = static_cast<int8_t>(i % 2 == 0 ? code << 4 : code) >> 4;
    return scale * static_cast<float>(code);
  }

  // n values are one row.
  static void Decode(const std::byte* row, int64_t n, float* out) {
    const float scale = HalfToFloat(Load<uint16_t>(row));
    for (int64_t i = 0; i < n; ++i) out[i] = ValueAt(row + kRowCodesAt, scale, i);
  }

  static float Dot(const std::byte* row, const float* x, int64_t n) {
    const float scale = HalfToFloat(Load<uint16_t>(row));
    return DotStrips(x, n, [&](int64_t first, int64_t count, float* out) {
      for (int64_t i = 0; i < count; ++i) out[i] = ValueAt(row + kRowCodesAt, scale, first + i);
    });
  }
};

}  // namespace

const Codec kI8_RowCodec = {DType::kI8_Row, OneScale<8>::Encode, OneScale<8>::Decode,
                            OneScale<8>::Dot};
const Codec kI4_RowCodec = {DType::kI4_Row, OneScale<4>::Encode, OneScale<4>::Decode,
                            OneScale<4>::Dot};

}  // namespace quantfleet::pipeline
