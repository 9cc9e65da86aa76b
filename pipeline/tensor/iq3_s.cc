// IQ3_S: 256 elements in 110 bytes: d (f16), the low bytes of the numbers of 64 points of four, 8
// bytes with the ninth bits of eight numbers each, 32 bytes of signs, then 4 bytes with the scales
// of two sub-blocks of 32, low nibble first. x = d * (2 * sc + 1) * point.
#include "pipeline/tensor/block_codec.h"
#include "pipeline/tensor/codebooks.h"
#include "pipeline/tensor/half.h"

namespace quantfleet::pipeline {
namespace {

struct IQ3_S {
  static constexpr DType kType = DType::kIQ3_S;
  static constexpr int kElements = 256, kBytes = 110;
  static constexpr int kUpperAt = 66, kSignsAt = 74, kScalesAt = 106;

  static void Decode(const std::byte* block, float* x) {
    const float d = HalfToFloat(Load<uint16_t>(block));
    for (int p = 0; p < kElements / 4; ++p, x += 4) {
      const int scale = Load<uint8_t>(block + kScalesAt + p / 16) >> (p / 8 % 2 * 4) & 15;
      const int upper = Load<uint8_t>(block + kUpperAt + p / 8) >> (p % 8) & 1;
      DecodePoint<4>(kIq3SPoints[Load<uint8_t>(block + 2 + p) | upper << 8],
                     Load<uint8_t>(block + kSignsAt + p / 2) >> (p % 2 * 4),
                     d * static_cast<float>(1 + 2 * scale), x);
    }
  }
};

}  // namespace

const Codec kIQ3_SCodec = MakeCodec<IQ3_S>();

}  // namespace quantfleet::pipeline
