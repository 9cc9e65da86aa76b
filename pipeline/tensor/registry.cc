// Picks a type's codec, once, by what this machine's instructions allow.
#include <cmath>

#include "pipeline/tensor/codecs.h"
#include "pipeline/tensor/simd.h"

namespace quantfleet::pipeline {

const Codec* FindScalarCodec(DType type) {
  switch (type) {
    case DType::kF32:
      return &kF32Codec;
    case DType::kF16:
      return &kF16Codec;
    case DType::kBF16:
      return &kBF16Codec;
    case DType::kQ8_0:
      return &kQ8_0Codec;
    case DType::kQ4_0:
      return &kQ4_0Codec;
    case DType::kQ4_1:
      return &kQ4_1Codec;
    case DType::kQ5_0:
      return &kQ5_0Codec;
    case DType::kQ5_1:
      return &kQ5_1Codec;
    case DType::kQ4_K:
      return &kQ4_KCodec;
    case DType::kQ5_K:
      return &kQ5_KCodec;
    case DType::kQ6_K:
      return &kQ6_KCodec;
  }
  return FindGroupCodec(type);
}

const Codec* FindCodec(DType type) {
  const Codec* twin = FindSimdCodec(type);
  return twin != nullptr ? twin : FindScalarCodec(type);
}

int64_t FindNonFinite(const float* values, int64_t n) {
  constexpr int64_t kStrip = 64;
  int64_t i = 0;
  for (; i + kStrip <= n; i += kStrip) {
    // x - x is zero unless x is NaN or infinite; a strip without branches vectorizes.
    int bad = 0;
    for (int64_t j = 0; j < kStrip; ++j) bad |= !(values[i + j] - values[i + j] == 0.f);
    if (bad) break;
  }
  for (; i < n; ++i) {
    if (!std::isfinite(values[i])) return i;
  }
  return -1;
}

}  // namespace quantfleet::pipeline
