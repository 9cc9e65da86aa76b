// IQ2_XXS: 256 elements in 66 bytes: d (f16), then 8 bytes for each sub-block of 32: the numbers of
// four points, and a word with seven signs of each from its lowest bits up and a scale of 4 bits.
// x = d * (sc + 1/2) / 4 * point.
#include "pipeline/tensor/block_codec.h"
#include "pipeline/tensor/codebooks.h"
#include "pipeline/tensor/half.h"

namespace quantfleet::pipeline {
namespace {

struct IQ2_XXS {
  static constexpr DType kType = DType::kIQ2_XXS;
  static constexpr int kElements = 256, kBytes = 66, kSubBlock = 32;

  static void Unpack(const std::byte* block, UnpackedBlock& out) {
    const float d = HalfToFloat(Load<uint16_t>(block));
    for (int s = 0; s < kElements / kSubBlock; ++s) {
      const std::byte* codes = block + 2 + 8 * s;
      const auto word = Load<uint32_t>(codes + 4);
      out.scales[2 * s] = out.scales[2 * s + 1] =
          d * (0.5f + static_cast<float>(word >> 28)) * 0.25f;
      for (int p = 0; p < kSubBlock / 8; ++p)
        StoreSigned(kIq2XxsPoints[Load<uint8_t>(codes + p)], EvenSigns(word >> (7 * p) & 127),
                    out.codes + kSubBlock * s + 8 * p);
    }
  }
};

}  // namespace

const Codec kIQ2_XXSCodec = MakeCodec<IQ2_XXS>();

}  // namespace quantfleet::pipeline
