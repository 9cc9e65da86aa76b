// Q5_0: 32 elements in 22 bytes: scale d (f16), 32 high bits, then 16 bytes of low nibbles; codes u in 0..31.
// x = d * (u - 16), d = (the signed value of largest magnitude) / -16.
#include "pipeline/tensor/block_codec.h"
#include "pipeline/tensor/blocks32.h"

namespace quantfleet::pipeline {
namespace {

struct Q5_0 {
  static constexpr DType kType = DType::kQ5_0;
  static constexpr int kElements = 32, kBytes = 22;

  static void Encode(const float* x, std::byte* block) {
    uint8_t codes[kElements];
    Store(block, FloatToHalf(RoundSymmetric(x, 16, codes)));
    PackFiveBits(codes, block + 2);
  }

  static void EncodeWeighted(const float* x, const float* importance, float mean_square, std::byte* block) {
    float weights[kElements];
    Weigh32(x, importance, mean_square, weights);
    uint8_t codes[kElements];
    Store(block, FloatToHalf(SearchSymmetric<kElements>(x, weights, 16, codes)));
    PackFiveBits(codes, block + 2);
  }

  static void Decode(const std::byte* block, float* x) {
    const float d = HalfToFloat(Load<uint16_t>(block));
    uint8_t codes[kElements];
    UnpackFiveBits(block + 2, codes);
    for (int i = 0; i < kElements; ++i) x[i] = static_cast<float>(codes[i] - 16) * d;
  }
};

}  // namespace

const Codec kQ5_0Codec = MakeCodec<Q5_0>();

}  // namespace quantfleet::pipeline
