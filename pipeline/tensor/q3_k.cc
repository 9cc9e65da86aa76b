// Q3_K (q3_k.h).
#include "pipeline/tensor/q3_k.h"

#include "pipeline/tensor/block_codec.h"

namespace quantfleet::pipeline {
namespace {

struct Q3_K {
  static constexpr DType kType = DType::kQ3_K;
  static constexpr int kElements = kQ6Elements, kBytes = kQ3Bytes, kGroup = kQ6Group;

  static void Encode(const float* x, std::byte* block) {
    uint8_t codes[kElements];
    float scales[kQ6Groups];
    for (int g = 0; g < kQ6Groups; ++g)
      scales[g] = SearchSymmetricByMoves<kGroup>(x + g * kGroup, kQ3Levels, codes + g * kGroup);
    const Q6Scales rounded = RoundQ3Scales(scales);
    RequantizeGroups<kQ3Levels>(x, rounded, codes);
    StoreQ3(rounded, codes, block);
  }

  static void EncodeWeighted(const float* x, const float* importance, float, std::byte* block) {
    const float variance = Q3Variance(x);
    uint8_t codes[kElements];
    float scales[kQ6Groups], group_weights[kQ6Groups];
    for (int g = 0; g < kQ6Groups; ++g) {
      const float* group = x + g * kGroup;
      float weights[kGroup];
      group_weights[g] = 0;
      for (int i = 0; i < kGroup; ++i) {
        weights[i] = importance[g * kGroup + i] * std::sqrt(variance + group[i] * group[i]);
        group_weights[g] += weights[i];
      }
      scales[g] = SearchSymmetric<kGroup>(group, weights, kQ3Levels, codes + g * kGroup);
    }
    const Q6Scales rounded = SearchQ3Scales(scales, group_weights);
    RequantizeGroups<kQ3Levels>(x, rounded, codes);
    StoreQ3(rounded, codes, block);
  }

  static void Unpack(const std::byte* block, UnpackedBlock& out) {
    uint8_t codes[kElements], third[32];
    UnpackTwoBits<kElements>(block + kQ3CodesAt, codes);
    std::memcpy(third, block, sizeof third);
    // Element i's is bit i / 32 of byte i % 32.
    for (int s = 0; s < kElements / 32; ++s)
      for (int l = 0; l < 32; ++l)
        out.codes[32 * s + l] =
            static_cast<int8_t>((codes[32 * s + l] | (third[l] >> s & 1) << 2) - kQ3Levels);
    const float d = HalfToFloat(Load<uint16_t>(block + kQ3ScaleAt));
    for (int g = 0; g < kQ6Groups; ++g)
      out.scales[g] = d * static_cast<float>(Q3ScaleOf(block + kQ3ScalesAt, g) - kQ3ScaleLevels);
  }
};

}  // namespace

const Codec kQ3_KCodec = MakeCodec<Q3_K>();

}  // namespace quantfleet::pipeline
