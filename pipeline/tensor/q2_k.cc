// Q2_K: 256 elements in 84 bytes: 16 bytes with a scale (low) and a minimum (high) of 4 bits for
// each group of 16, 64 bytes of codes in 0..3, then d and dmin (f16). x = d * sc * q - dmin * m.
#include "pipeline/tensor/block_codec.h"
#include "pipeline/tensor/half.h"
#include "pipeline/tensor/two_bits.h"

namespace quantfleet::pipeline {
namespace {

struct Q2_K {
  static constexpr DType kType = DType::kQ2_K;
  static constexpr int kElements = 256, kBytes = 84, kGroup = 16;
  static constexpr int kCodesAt = kElements / kGroup, kScaleAt = kCodesAt + kElements / 4;

  static void Decode(const std::byte* block, float* x) {
    uint8_t codes[kElements];
    UnpackTwoBits<kElements>(block + kCodesAt, codes);
    const float d = HalfToFloat(Load<uint16_t>(block + kScaleAt)),
                dmin = HalfToFloat(Load<uint16_t>(block + kScaleAt + 2));
    for (int g = 0; g < kElements / kGroup; ++g) {
      const auto packed = Load<uint8_t>(block + g);
      const float scale = d * static_cast<float>(packed & 15),
                  minus_min = dmin * static_cast<float>(packed >> 4);
      for (int i = g * kGroup; i < (g + 1) * kGroup; ++i)
        x[i] = scale * static_cast<float>(codes[i]) - minus_min;
    }
  }
};

}  // namespace

const Codec kQ2_KCodec = MakeCodec<Q2_K>();

}  // namespace quantfleet::pipeline
