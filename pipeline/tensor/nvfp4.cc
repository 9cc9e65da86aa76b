// NVFP4: 64 elements in 36 bytes: four unsigned FP8 scales (E4M3), one for each sub-block of 16,
// then 8 bytes of FP4 codes for each. x = scale / 2 * kFp4Values[code]: the table holds doubled
// values.
#include <bit>

#include "pipeline/tensor/block_codec.h"
#include "pipeline/tensor/table_codes.h"

namespace quantfleet::pipeline {
namespace {

struct NVFP4 {
  static constexpr DType kType = DType::kNVFP4;
  static constexpr int kElements = 64, kBytes = 36, kSubBlock = 16, kCodesAt = 4;

  // Half of the scale, whose sign is not looked at; of E4M3's NaNs 0x7f is 0 to ggml.
  static float HalvedScale(uint8_t e4m3) {
    const int exponent = e4m3 >> 3 & 15, fraction = e4m3 & 7;
    if (e4m3 == 0x7f) return 0.f;
    if (exponent == 0) return static_cast<float>(fraction) * 0x1p-10f;
    return std::bit_cast<float>(static_cast<uint32_t>(exponent + 119) << 23 |
                                static_cast<uint32_t>(fraction) << 20);
  }

  static void Decode(const std::byte* block, float* x) {
    for (int s = 0; s < kElements / kSubBlock; ++s)
      DecodeTableCodes<kSubBlock>(kFp4Values, HalvedScale(Load<uint8_t>(block + s)),
                                  block + kCodesAt + s * kSubBlock / 2, x + s * kSubBlock);
  }
};

}  // namespace

const Codec kNVFP4Codec = MakeCodec<NVFP4>();

}  // namespace quantfleet::pipeline
