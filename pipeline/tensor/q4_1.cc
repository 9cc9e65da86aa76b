// Q4_1: 32 elements in 20 bytes: scale d and min m (f16), then 16 bytes of codes u in 0..15. x = d * u + m,
// d = (max - min) / 15, m = min.
#include "pipeline/tensor/block_codec.h"
#include "pipeline/tensor/blocks32.h"

namespace quantfleet::pipeline {
namespace {

struct Q4_1 {
  static constexpr DType kType = DType::kQ4_1;
  static constexpr int kElements = 32, kBytes = 20;

  static void Encode(const float* x, std::byte* block) {
    uint8_t codes[kElements];
    StoreAffine(RoundAffine(x, 15, codes), block);
    PackNibbles(codes, block + 4);
  }

  static void EncodeWeighted(const float* x, const float* importance, float mean_square, std::byte* block) {
    float weights[kElements];
    Weigh32(x, importance, mean_square, weights);
    uint8_t codes[kElements];
    StoreAffine(SearchAffine<kElements>(x, weights, {15, -0.9f, 0.05f, 36}, codes), block);
    PackNibbles(codes, block + 4);
  }

  static void Decode(const std::byte* block, float* x) {
    const float d = HalfToFloat(Load<uint16_t>(block)), m = HalfToFloat(Load<uint16_t>(block + 2));
    uint8_t codes[kElements];
    UnpackNibbles(block + 4, codes);
    for (int i = 0; i < kElements; ++i) x[i] = static_cast<float>(codes[i]) * d + m;
  }
};

}  // namespace

const Codec kQ4_1Codec = MakeCodec<Q4_1>();

}  // namespace quantfleet::pipeline
