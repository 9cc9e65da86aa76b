// Q8_0: 32 elements in 34 bytes: scale d (f16), then 32 signed codes q. x = d * q, d = amax / 127.
// The reference ignores importance for this type.
#include "pipeline/tensor/block_codec.h"
#include "pipeline/tensor/block_math.h"
#include "pipeline/tensor/half.h"

namespace quantfleet::pipeline {
namespace {

struct Q8_0 {
  static constexpr DType kType = DType::kQ8_0;
  static constexpr int kElements = 32, kBytes = 34;

  static void Encode(const float* x, std::byte* block) {
    const float d = MaxMagnitude<kElements>(x) / 127.f;
    const float reciprocal = Reciprocal(d);
    int8_t codes[kElements];
    for (int i = 0; i < kElements; ++i)
      codes[i] = static_cast<int8_t>(RoundHalfAway(x[i] * reciprocal));
    Store(block, FloatToHalf(d));
    std::memcpy(block + 2, codes, sizeof codes);
  }

  static void Decode(const std::byte* block, float* x) {
    const float d = HalfToFloat(Load<uint16_t>(block));
    int8_t codes[kElements];
    std::memcpy(codes, block + 2, sizeof codes);
    for (int i = 0; i < kElements; ++i) x[i] = static_cast<float>(codes[i]) * d;
  }
};

}  // namespace

const Codec kQ8_0Codec = MakeCodec<Q8_0>();

}  // namespace quantfleet::pipeline
