// Q2_0: 64 elements in 18 bytes: the scale d (f16), then 16 bytes of codes in 0..3, element i in
// the bit pair i % 4 of byte i / 4. x = d * (q - 1).
#include "pipeline/tensor/block_codec.h"
#include "pipeline/tensor/half.h"

namespace quantfleet::pipeline {
namespace {

struct Q2_0 {
  static constexpr DType kType = DType::kQ2_0;
  static constexpr int kElements = 64, kBytes = 18;

  static void Decode(const std::byte* block, float* x) {
    const float d = HalfToFloat(Load<uint16_t>(block));
    for (int i = 0; i < kElements; ++i) {
      const int code = Load<uint8_t>(block + 2 + i / 4) >> (i % 4 * 2) & 3;
      x[i] = static_cast<float>(code - 1) * d;
    }
  }
};

}  // namespace

const Codec kQ2_0Codec = MakeCodec<Q2_0>();

}  // namespace quantfleet::pipeline
