// TQ2_0: 256 ternary elements in 66 bytes: 64 bytes of codes of two bits, then the scale d (f16).
// x = d * (q - 1).
#include <algorithm>

#include "pipeline/tensor/block_codec.h"
#include "pipeline/tensor/half.h"
#include "pipeline/tensor/two_bits.h"

namespace quantfleet::pipeline {
namespace {

struct TQ2_0 {
  static constexpr DType kType = DType::kTQ2_0;
  static constexpr int kElements = 256, kBytes = 66, kScaleAt = 64;

  static void Unpack(const std::byte* block, UnpackedBlock& out) {
    uint8_t codes[kElements];
    UnpackTwoBits<kElements>(block, codes);
    for (int i = 0; i < kElements; ++i) out.codes[i] = static_cast<int8_t>(codes[i] - 1);
    std::fill_n(out.scales, kElements / UnpackedBlock::kGroup,
                HalfToFloat(Load<uint16_t>(block + kScaleAt)));
  }
};

}  // namespace

const Codec kTQ2_0Codec = MakeCodec<TQ2_0>();

}  // namespace quantfleet::pipeline
