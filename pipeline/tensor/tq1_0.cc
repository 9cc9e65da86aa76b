// TQ1_0: 256 ternary elements in 54 bytes: 48 bytes of five digits each, 4 of four, then the scale
// d (f16). x = d * (digit - 1). A byte is its digits to the base of three as a fraction of 256,
// rounded up: multiplied by powers of three modulo 256, it gives the digits from its upper end.
#include "pipeline/tensor/block_codec.h"
#include "pipeline/tensor/half.h"

namespace quantfleet::pipeline {
namespace {

struct TQ1_0 {
  static constexpr DType kType = DType::kTQ1_0;
  static constexpr int kElements = 256, kBytes = 54, kScaleAt = 52;

  // Digit n of each of `count` bytes is an element, digit by digit. Returns what follows.
  static float* Digits(const std::byte* bytes, int count, int digits, float d, float* x) {
    int power = 1;
    for (int n = 0; n < digits; ++n, power *= 3) {
      for (int m = 0; m < count; ++m) {
        const auto shifted = static_cast<uint8_t>(Load<uint8_t>(bytes + m) * power);
        *x++ = static_cast<float>((shifted * 3 >> 8) - 1) * d;
      }
    }
    return x;
  }

  static void Decode(const std::byte* block, float* x) {
    const float d = HalfToFloat(Load<uint16_t>(block + kScaleAt));
    x = Digits(block, 32, 5, d, x);
    x = Digits(block + 32, 16, 5, d, x);
    Digits(block + 48, 4, 4, d, x);
  }
};

}  // namespace

const Codec kTQ1_0Codec = MakeCodec<TQ1_0>();

}  // namespace quantfleet::pipeline
