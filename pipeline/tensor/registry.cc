// Picks a type's codec, once, by what this machine's instructions allow.
#include <cmath>

#include "pipeline/tensor/codecs.h"
#include "pipeline/tensor/simd.h"

namespace quantfleet::pipeline {

const Codec* FindScalarCodec(DType type) {
  const DTypeInfo* info = FindInfo(type);
  return info == nullptr ? nullptr : info->codec;
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
