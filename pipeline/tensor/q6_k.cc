// Q6_K: 256 elements in 210 bytes: 128 bytes of low nibbles, 64 of upper bit pairs, 16 scales, then
// d (symmetric_k.h).
#include "pipeline/tensor/block_codec.h"
#include "pipeline/tensor/symmetric_k.h"

namespace quantfleet::pipeline {
namespace {

struct Q6_K {
  static constexpr DType kType = DType::kQ6_K;
  static constexpr int kElements = kQ6Elements, kBytes = kQ6Bytes;

  static void EncodeWith(const float* x, const float* weights, std::byte* block) {
    uint8_t codes[kElements];
    float scales[kQ6Groups];
    for (int g = 0; g < kQ6Groups; ++g) {
      const int first = g * kQ6Group;
      scales[g] = SearchSymmetric<kQ6Group>(x + first, weights + first, kQ6Levels, codes + first);
    }
    Q6Scales rounded;
    if (!RoundGroupScales(scales, rounded)) {
      std::memset(block, 0, kBytes);
      return;
    }
    RequantizeGroups(x, rounded, codes);
    PackQ6(codes, rounded, block);
  }

  static void Encode(const float* x, std::byte* block) {
    float weights[kElements];
    for (int i = 0; i < kElements; ++i) weights[i] = x[i] * x[i];
    EncodeWith(x, weights, block);
  }

  static void EncodeWeighted(const float* x, const float* importance, float, std::byte* block) {
    EncodeWith(x, importance, block);
  }

  static void Decode(const std::byte* block, float* x) {
    uint8_t codes[kElements];
    Q6Scales scales;
    UnpackQ6(block, codes, scales);
    const float d = HalfToFloat(scales.d);
    for (int i = 0; i < kElements; ++i)
      x[i] = d * static_cast<float>(scales.groups[i / kQ6Group]) *
             static_cast<float>(codes[i] - kQ6Levels);
  }
};

}  // namespace

const Codec kQ6_KCodec = MakeCodec<Q6_K>();

}  // namespace quantfleet::pipeline
