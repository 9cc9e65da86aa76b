// IQ3_XXS: 256 elements in 98 bytes: d (f16), the numbers of 64 points of four, then for each
// sub-block of 32 a word with four times seven signs from its lowest bits up and a scale of 4 bits.
// x = d * (sc + 1/2) / 2 * point.
#include "pipeline/tensor/block_codec.h"
#include "pipeline/tensor/codebooks.h"
#include "pipeline/tensor/half.h"

namespace quantfleet::pipeline {
namespace {

struct IQ3_XXS {
  static constexpr DType kType = DType::kIQ3_XXS;
  static constexpr int kElements = 256, kBytes = 98, kSubBlock = 32;
  static constexpr int kWordsAt = 2 + kElements / 4;

  static void Unpack(const std::byte* block, UnpackedBlock& out) {
    const float d = HalfToFloat(Load<uint16_t>(block));
    const std::byte* code = block + 2;
    for (int s = 0; s < kElements / kSubBlock; ++s) {
      const auto word = Load<uint32_t>(block + kWordsAt + 4 * s);
      out.scales[2 * s] = out.scales[2 * s + 1] =
          d * (0.5f + static_cast<float>(word >> 28)) * 0.5f;
      for (int p = 0; p < kSubBlock / 8; ++p, code += 2)
        StoreSigned(kIq3XxsPoints[Load<uint8_t>(code)], kIq3XxsPoints[Load<uint8_t>(code + 1)],
                    EvenSigns(word >> (7 * p) & 127), out.codes + kSubBlock * s + 8 * p);
    }
  }
};

}  // namespace

const Codec kIQ3_XXSCodec = MakeCodec<IQ3_XXS>();

}  // namespace quantfleet::pipeline
