// Q3_K: 256 elements in 110 bytes: 32 bytes of third bits, 64 of low bit pairs, 12 of scales with 6
// bits for each group of 16, then d (f16). x = d * (sc - 32) * (q - 4), q in 0..7.
#include "pipeline/tensor/block_codec.h"
#include "pipeline/tensor/half.h"
#include "pipeline/tensor/two_bits.h"

namespace quantfleet::pipeline {
namespace {

struct Q3_K {
  static constexpr DType kType = DType::kQ3_K;
  static constexpr int kElements = 256, kBytes = 110, kGroup = 16;
  static constexpr int kCodesAt = 32, kScalesAt = kCodesAt + kElements / 4,
                       kScaleAt = kScalesAt + 12;

  // The low nibbles of bytes 0..7 are the first eight scales' low 4 bits, the high ones those of
  // the others; bytes 8..11 hold the upper two bits of scales j, j + 4, j + 8 and j + 12.
  static int ScaleOf(const std::byte* packed, int group) {
    const auto low = Load<uint8_t>(packed + group % 8),
               high = Load<uint8_t>(packed + 8 + group % 4);
    return (group < 8 ? low & 15 : low >> 4) | (high >> (2 * (group / 4)) & 3) << 4;
  }

  static void Unpack(const std::byte* block, UnpackedBlock& out) {
    uint8_t codes[kElements], third[32];
    UnpackTwoBits<kElements>(block + kCodesAt, codes);
    std::memcpy(third, block, sizeof third);
    // Element i's is bit i / 32 of byte i % 32.
    for (int s = 0; s < kElements / 32; ++s)
      for (int l = 0; l < 32; ++l)
        out.codes[32 * s + l] =
            static_cast<int8_t>((codes[32 * s + l] | (third[l] >> s & 1) << 2) - 4);
    const float d = HalfToFloat(Load<uint16_t>(block + kScaleAt));
    for (int g = 0; g < kElements / kGroup; ++g)
      out.scales[g] = d * static_cast<float>(ScaleOf(block + kScalesAt, g) - 32);
  }
};

}  // namespace

const Codec kQ3_KCodec = MakeCodec<Q3_K>();

}  // namespace quantfleet::pipeline
