// IQ1_S: 256 elements in 50 bytes: d (f16), the low bytes of the numbers of 32 points, then for
// each sub-block of 32 a word of 16 bits with the upper three bits of its four numbers from the
// lowest up, a scale of 3 bits, and the sign of the shift. x = d * (2 * sc + 1) * (point +- 1/8).
#include "pipeline/tensor/block_codec.h"
#include "pipeline/tensor/codebooks.h"
#include "pipeline/tensor/half.h"

namespace quantfleet::pipeline {
namespace {

struct IQ1_S {
  static constexpr DType kType = DType::kIQ1_S;
  static constexpr int kElements = 256, kBytes = 50, kSubBlock = 32;
  static constexpr int kWordsAt = 2 + kElements / 8;

  static void Unpack(const std::byte* block, UnpackedBlock& out) {
    const float d = HalfToFloat(Load<uint16_t>(block));
    for (int s = 0; s < kElements / kSubBlock; ++s) {
      const auto word = Load<uint16_t>(block + kWordsAt + 2 * s);
      out.scales[2 * s] = out.scales[2 * s + 1] =
          d * static_cast<float>(2 * (word >> 12 & 7) + 1) * 0.125f;
      for (int p = 0; p < kSubBlock / 8; ++p)
        StoreShifted(kIq1Points[Load<uint8_t>(block + 2 + 4 * s + p) | (word >> (3 * p) & 7) << 8],
                     (word >> 15) != 0, out.codes + kSubBlock * s + 8 * p);
    }
  }
};

}  // namespace

const Codec kIQ1_SCodec = MakeCodec<IQ1_S>();

}  // namespace quantfleet::pipeline
