// Q2_K (q2_k.h).
#include "pipeline/tensor/q2_k.h"

#include "pipeline/tensor/block_codec.h"

namespace quantfleet::pipeline {
namespace {

struct Q2_K {
  static constexpr DType kType = DType::kQ2_K;
  static constexpr int kElements = kQ2Elements, kBytes = kQ2Bytes;

  // The importance may be null.
  static void EncodeWith(const float* x, const float* importance, std::byte* block) {
    const float variance = importance == nullptr ? 0.f : Q2Variance(x);
    uint8_t codes[kElements];
    float scales[kQ2Groups], minus_mins[kQ2Groups], group_weights[kQ2Groups];
    for (int g = 0; g < kQ2Groups; ++g) {
      const float* group = x + g * kQ2Group;
      float weights[kQ2Group];
      group_weights[g] = 0;
      for (int i = 0; i < kQ2Group; ++i) {
        weights[i] = importance == nullptr
                         ? std::fabs(group[i])
                         : importance[g * kQ2Group + i] * std::sqrt(variance + group[i] * group[i]);
        group_weights[g] += weights[i];
      }
      const Affine found = SearchAffine<kQ2Group>(
          group, weights, importance == nullptr ? kQ2Search : kQ2SearchWeighted,
          codes + g * kQ2Group);
      scales[g] = found.scale;
      minus_mins[g] = -found.min;
    }
    const Q2Scales rounded = importance == nullptr
                                 ? RoundQ2Scales(scales, minus_mins)
                                 : SearchQ2Scales(scales, minus_mins, group_weights);
    // Codes anew with the scales as stored; a group whose scale became 0 keeps the search's.
    for (int g = 0; g < kQ2Groups; ++g) {
      const float scale = rounded.ScaleOf(g), minus_min = rounded.MinusMinOf(g);
      if (scale == 0.f) continue;
      for (int i = g * kQ2Group; i < (g + 1) * kQ2Group; ++i)
        codes[i] =
            static_cast<uint8_t>(std::clamp(NearestInt((x[i] + minus_min) / scale), 0, kQ2Levels));
    }
    StoreQ2(rounded, codes, block);
  }

  static void Encode(const float* x, std::byte* block) { EncodeWith(x, nullptr, block); }
  static void EncodeWeighted(const float* x, const float* importance, float, std::byte* block) {
    EncodeWith(x, importance, block);
  }

  static void Decode(const std::byte* block, float* x) {
    uint8_t codes[kElements];
    UnpackTwoBits<kElements>(block + kQ2CodesAt, codes);
    const Q2Scales scales = LoadQ2Scales(block);
    for (int g = 0; g < kQ2Groups; ++g) {
      const float scale = scales.ScaleOf(g), minus_min = scales.MinusMinOf(g);
      for (int i = g * kQ2Group; i < (g + 1) * kQ2Group; ++i)
        x[i] = scale * static_cast<float>(codes[i]) - minus_min;
    }
  }
};

}  // namespace

const Codec kQ2_KCodec = MakeCodec<Q2_K>();

}  // namespace quantfleet::pipeline
