// Q1_0: 128 elements in 18 bytes: the scale d (f16), then 16 bytes of signs, element i in bit i.
// x is d where the bit is set, else -d.
#include "pipeline/tensor/block_codec.h"
#include "pipeline/tensor/half.h"

namespace quantfleet::pipeline {
namespace {

struct Q1_0 {
  static constexpr DType kType = DType::kQ1_0;
  static constexpr int kElements = 128, kBytes = 18;

  static void Decode(const std::byte* block, float* x) {
    const float d = HalfToFloat(Load<uint16_t>(block));
    for (int i = 0; i < kElements; ++i)
      x[i] = (Load<uint8_t>(block + 2 + i / 8) >> (i % 8) & 1) != 0 ? d : -d;
  }
};

}  // namespace

const Codec kQ1_0Codec = MakeCodec<Q1_0>();

}  // namespace quantfleet::pipeline
