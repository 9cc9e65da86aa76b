// TQ1_0: 256 ternary elements in 54 bytes: 48 bytes of five digits each, 4 of four, then the scale
// d (f16). x = d * (digit - 1). A byte is its digits to the base of three as a fraction of 256,
// rounded up: multiplied by powers of three modulo 256, it gives the digits from its upper end.
#include <algorithm>

#include "pipeline/tensor/block_codec.h"
#include "pipeline/tensor/half.h"

namespace quantfleet::pipeline {
namespace {

struct TQ1_0 {
  static constexpr DType kType = DType::kTQ1_0;
  static constexpr int kElements = 256, kBytes = 54, kScaleAt = 52;

  // Digit n of each of `count` bytes is an element, digit by digit. Returns what follows.
  static int8_t* Digits(const std::byte* bytes, int count, int digits, int8_t* codes) {
    int power = 1;
    for (int n = 0; n < digits; ++n, power *= 3) {
      for (int m = 0; m < count; ++m) {
        const auto shifted = static_cast<uint8_t>(Load<uint8_t>(bytes + m) * power);
        *codes++ = static_cast<int8_t>((shifted * 3 >> 8) - 1);
      }
    }
    return codes;
  }

  static void Unpack(const std::byte* block, UnpackedBlock& out) {
    int8_t* codes = Digits(block, 32, 5, out.codes);
    codes = Digits(block + 32, 16, 5, codes);
    Digits(block + 48, 4, 4, codes);
    std::fill_n(out.scales, kElements / UnpackedBlock::kGroup,
                HalfToFloat(Load<uint16_t>(block + kScaleAt)));
  }
};

}  // namespace

const Codec kTQ1_0Codec = MakeCodec<TQ1_0>();

}  // namespace quantfleet::pipeline
