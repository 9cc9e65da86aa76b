// IQ4_XS (iq4.h).
#include "pipeline/tensor/block_codec.h"
#include "pipeline/tensor/iq4.h"

namespace quantfleet::pipeline {
namespace {

struct IQ4_XS : Iq4Xs {
  static void Encode(const float* x, std::byte* block) { EncodeIq4<Iq4Xs>(x, nullptr, block); }
  static void EncodeWeighted(const float* x, const float* importance, float, std::byte* block) {
    EncodeIq4<Iq4Xs>(x, importance, block);
  }
  static void Decode(const std::byte* block, float* x) {
    const float d = HalfToFloat(Load<uint16_t>(block));
    const auto upper = Load<uint16_t>(block + kUpperAt);
    const auto lower = Load<uint32_t>(block + kLowerAt);
    for (int s = 0; s < kSubBlocks; ++s) {
      const auto scale = static_cast<int>((lower >> 4 * s & 15) | (upper >> 2 * s & 3u) << 4);
      DecodeTableCodes<kIq4Block>(kIq4Values, d * static_cast<float>(scale - 32),
                                  block + kCodesAt + s * kIq4Block / 2, x + s * kIq4Block);
    }
  }
};

}  // namespace

const Codec kIQ4_XSCodec = MakeCodec<IQ4_XS>();

}  // namespace quantfleet::pipeline
