// Q4_0: 32 elements in 18 bytes: scale d (f16), then 16 bytes of codes u in 0..15. x = d * (u - 8),
// d = (the signed value of largest magnitude) / -8.
#include "pipeline/tensor/block_codec.h"
#include "pipeline/tensor/blocks32.h"

namespace quantfleet::pipeline {
namespace {

struct Q4_0 {
  static constexpr DType kType = DType::kQ4_0;
  static constexpr int kElements = 32, kBytes = 18;

  static void Encode(const float* x, std::byte* block) {
    uint8_t codes[kElements];
    Store(block, FloatToHalf(RoundSymmetric(x, 8, codes)));
    PackNibbles(codes, block + 2);
  }

  static void EncodeWeighted(const float* x, const float* importance, float mean_square, std::byte* block) {
    float weights[kElements];
    Weigh32(x, importance, mean_square, weights);
    uint8_t codes[kElements];
    Store(block, FloatToHalf(SearchSymmetric<kElements>(x, weights, 8, codes)));
    PackNibbles(codes, block + 2);
  }

  static void Decode(const std::byte* block, float* x) {
    const float d = HalfToFloat(Load<uint16_t>(block));
    uint8_t codes[kElements];
    UnpackNibbles(block + 2, codes);
    for (int i = 0; i < kElements; ++i) x[i] = static_cast<float>(codes[i] - 8) * d;
  }
};

}  // namespace

const Codec kQ4_0Codec = MakeCodec<Q4_0>();

}  // namespace quantfleet::pipeline
