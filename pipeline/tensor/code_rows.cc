#include "pipeline/tensor/code_rows.h"

#include "pipeline/tensor/half.h"

namespace quantfleet::pipeline {
namespace {

// Element i of a stream of so many bits each.
int CodeAt(const std::byte* stream, int bits, int64_t i) {
  if (bits == 8) return Load<uint8_t>(stream + i);
  const uint8_t pair = Load<uint8_t>(stream + i / 2);
  return i % 2 == 0 ? pair & 15 : pair >> 4;
}

float HalfAt(const std::byte* halves, int64_t i) {
  return HalfToFloat(Load<uint16_t>(halves + 2 * i));
}

}  // namespace

void DecodeCodeRows(const CodeRows& as, const std::byte* codes, const std::byte* scales,
                    const std::byte* zeros, int64_t first, int64_t rows, float* out) {
  const int middle = 1 << (as.bits - 1);
  // Two's complement with its highest bit turned over is the unsigned code of the same value.
  const int flip = as.is_signed ? middle : 0;
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t zero_bit = first * as.zero_bits() % 8 + row * as.zero_bits();
    for (int64_t g = 0; g < as.groups(); ++g) {
      const float scale = as.wide_scales ? Load<float>(scales + 4 * g) : HalfAt(scales, g);
      const bool has_bias = as.zero == GroupZero::kBias;
      const int point = as.zero == GroupZero::kPoint
                            ? CodeAt(zeros, as.bits, zero_bit / as.bits + g)
                        : has_bias ? 0
                                   : middle;
      const float bias = has_bias ? HalfAt(zeros, zero_bit / 16 + g) : 0.f;
      for (int64_t i = g * as.group; i < (g + 1) * as.group; ++i) {
        const float x = static_cast<float>((CodeAt(codes, as.bits, i) ^ flip) - point) * scale;
        *out++ = has_bias ? x + bias : x;
      }
    }
    codes += as.code_bytes();
    scales += as.scale_bytes();
  }
}

}  // namespace quantfleet::pipeline
