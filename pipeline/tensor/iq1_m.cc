// IQ1_M: 256 elements in 56 bytes: the low bytes of the numbers of 32 points, a nibble for each
// with its number's upper three bits and the sign of its shift, low nibble first, then four words
// of 16 bits with the scales of four groups of 16 (3 bits each, from the lowest up) and, in the
// upper four bits, a quarter of d (f16), lowest first. x = d * (2 * sc + 1) * (point +- 1/8).
#include "pipeline/tensor/block_codec.h"
#include "pipeline/tensor/codebooks.h"
#include "pipeline/tensor/half.h"

namespace quantfleet::pipeline {
namespace {

struct IQ1_M {
  static constexpr DType kType = DType::kIQ1_M;
  static constexpr int kElements = 256, kBytes = 56;
  static constexpr int kUpperAt = 32, kScalesAt = 48;

  static void Unpack(const std::byte* block, UnpackedBlock& out) {
    uint16_t words[4];
    uint32_t half = 0;
    for (int i = 0; i < 4; ++i) {
      words[i] = Load<uint16_t>(block + kScalesAt + 2 * i);
      half |= static_cast<uint32_t>(words[i] >> 12) << (4 * i);
    }
    const float d = HalfToFloat(static_cast<uint16_t>(half));
    for (int g = 0; g < kElements / 16; ++g)
      out.scales[g] = d * static_cast<float>(2 * (words[g / 4] >> (g % 4 * 3) & 7) + 1) * 0.125f;
    for (int p = 0; p < kElements / 8; ++p) {
      const int nibble = Load<uint8_t>(block + kUpperAt + p / 2) >> (p % 2 * 4) & 15;
      StoreShifted(kIq1Points[Load<uint8_t>(block + p) | (nibble & 7) << 8], (nibble & 8) != 0,
                   out.codes + 8 * p);
    }
  }
};

}  // namespace

const Codec kIQ1_MCodec = MakeCodec<IQ1_M>();

}  // namespace quantfleet::pipeline
