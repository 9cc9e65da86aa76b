// TQ2_0: 256 ternary elements in 66 bytes: 64 bytes of codes of two bits, then the scale d (f16).
// x = d * (q - 1).
#include "pipeline/tensor/block_codec.h"
#include "pipeline/tensor/half.h"
#include "pipeline/tensor/two_bits.h"

namespace quantfleet::pipeline {
namespace {

struct TQ2_0 {
  static constexpr DType kType = DType::kTQ2_0;
  static constexpr int kElements = 256, kBytes = 66, kScaleAt = 64;

  static void Decode(const std::byte* block, float* x) {
    uint8_t codes[kElements];
    UnpackTwoBits<kElements>(block, codes);
    const float d = HalfToFloat(Load<uint16_t>(block + kScaleAt));
    for (int i = 0; i < kElements; ++i) x[i] = static_cast<float>(codes[i] - 1) * d;
  }
};

}  // namespace

const Codec kTQ2_0Codec = MakeCodec<TQ2_0>();

}  // namespace quantfleet::pipeline
