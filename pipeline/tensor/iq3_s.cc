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
  static constexpr int kElements = 256, kBytes = 110, kSubBlock = 32;
  static constexpr int kUpperAt = 66, kSignsAt = 74, kScalesAt = 106;

  static void Unpack(const std::byte* block, UnpackedBlock& out) {
    const float d = HalfToFloat(Load<uint16_t>(block));
    for (int s = 0; s < kElements / kSubBlock; ++s) {
      const int scale = Load<uint8_t>(block + kScalesAt + s / 2) >> (s % 2 * 4) & 15;
      out.scales[2 * s] = out.scales[2 * s + 1] = d * static_cast<float>(1 + 2 * scale);
      const int upper = Load<uint8_t>(block + kUpperAt + s);
      for (int p = 0; p < kSubBlock / 8; ++p) {
        const std::byte* code = block + 2 + 8 * s + 2 * p;
        StoreSigned(kIq3SPoints[Load<uint8_t>(code) | (upper >> (2 * p) & 1) << 8],
                    kIq3SPoints[Load<uint8_t>(code + 1) | (upper >> (2 * p + 1) & 1) << 8],
                    Load<uint8_t>(block + kSignsAt + 4 * s + p), out.codes + kSubBlock * s + 8 * p);
      }
    }
  }
};

}  // namespace

const Codec kIQ3_SCodec = MakeCodec<IQ3_S>();

}  // namespace quantfleet::pipeline
