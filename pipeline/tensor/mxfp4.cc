// MXFP4 (OCP's microscaling): 32 elements in 17 bytes: a scale that is a power of two (E8M0), then
// 16 bytes of FP4 codes. x = 2^(e - 128) * kFp4Values[code]: the table holds doubled values.
#include <bit>

#include "pipeline/tensor/block_codec.h"
#include "pipeline/tensor/table_codes.h"

namespace quantfleet::pipeline {
namespace {

struct MXFP4 {
  static constexpr DType kType = DType::kMXFP4;
  static constexpr int kElements = 32, kBytes = 17;

  // Half of 2^(e - 127). The two smallest are subnormal floats; 255, OCP's NaN, is 2^127 to ggml.
  static float HalvedScale(uint8_t e) {
    return std::bit_cast<float>(e < 2 ? 0x00200000u << e : static_cast<uint32_t>(e - 1) << 23);
  }

  static void Decode(const std::byte* block, float* x) {
    DecodeTableCodes<kElements>(kFp4Values, HalvedScale(Load<uint8_t>(block)), block + 1, x);
  }
};

}  // namespace

const Codec kMXFP4Codec = MakeCodec<MXFP4>();

}  // namespace quantfleet::pipeline
