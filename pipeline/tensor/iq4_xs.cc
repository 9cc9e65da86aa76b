// IQ4_XS: 256 elements in 136 bytes: d (f16), 16 bits with the upper two of the eight sub-blocks'
// scales, 4 bytes with their low nibbles, then 16 bytes of codes for each sub-block of 32.
// x = d * (sc - 32) * kIq4Values[code].
#include "pipeline/tensor/block_codec.h"
#include "pipeline/tensor/half.h"
#include "pipeline/tensor/table_codes.h"

namespace quantfleet::pipeline {
namespace {

struct IQ4_XS {
  static constexpr DType kType = DType::kIQ4_XS;
  static constexpr int kElements = 256, kBytes = 136, kSubBlock = 32, kCodesAt = 8;

  static void Decode(const std::byte* block, float* x) {
    const float d = HalfToFloat(Load<uint16_t>(block));
    const auto upper = Load<uint16_t>(block + 2);
    const auto lower = Load<uint32_t>(block + 4);
    for (int s = 0; s < kElements / kSubBlock; ++s) {
      const auto scale = static_cast<int>((lower >> 4 * s & 15) | (upper >> 2 * s & 3u) << 4);
      DecodeTableCodes<kSubBlock>(kIq4Values, d * static_cast<float>(scale - 32),
                                  block + kCodesAt + s * kSubBlock / 2, x + s * kSubBlock);
    }
  }
};

}  // namespace

const Codec kIQ4_XSCodec = MakeCodec<IQ4_XS>();

}  // namespace quantfleet::pipeline
