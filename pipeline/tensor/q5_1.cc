// Q5_1: 32 elements in 24 bytes: scale d and min m (f16), 32 high bits, then 16 bytes of low nibbles; codes u in
// 0..31. x = d * u + m, d = (max - min) / 31, m = min.
#include "pipeline/tensor/block_codec.h"
#include "pipeline/tensor/blocks32.h"

namespace quantfleet::pipeline {
namespace {

struct Q5_1 {
  static constexpr DType kType = DType::kQ5_1;
  static constexpr int kElements = 32, kBytes = 24;

  static void Encode(const float* x, std::byte* block) {
    uint8_t codes[kElements];
    StoreAffine(RoundAffine(x, 31, codes), block);
    PackFiveBits(codes, block + 4);
  }

  static void EncodeWeighted(const float* x, const float* importance, float mean_square, std::byte* block) {
    float weights[kElements];
    Weigh32(x, importance, mean_square, weights);
    uint8_t codes[kElements];
    StoreAffine(SearchAffine<kElements>(x, weights, {31, -0.9f, 0.05f, 36}, codes), block);
    PackFiveBits(codes, block + 4);
  }

  static void Decode(const std::byte* block, float* x) {
    const float d = HalfToFloat(Load<uint16_t>(block)), m = HalfToFloat(Load<uint16_t>(block + 2));
    uint8_t codes[kElements];
    UnpackFiveBits(block + 4, codes);
    for (int i = 0; i < kElements; ++i) x[i] = static_cast<float>(codes[i]) * d + m;
  }
};

}  // namespace

const Codec kQ5_1Codec = MakeCodec<Q5_1>();

}  // namespace quantfleet::pipeline
