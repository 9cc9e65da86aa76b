// Q2_K's parts. A super-block of 256 in 84 bytes: 16 bytes with a scale (low) and a minimum (high)
// of 4 bits for each group of 16, 64 bytes of codes in 0..3, then d and dmin (f16). x = d * sc * q
// - dmin * m.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>

#include "common/base/bytes.h"
#include "pipeline/tensor/half.h"
#include "pipeline/tensor/scale_search.h"
#include "pipeline/tensor/two_bits.h"

namespace quantfleet::pipeline {

inline constexpr int kQ2Elements = 256, kQ2Group = 16, kQ2Groups = kQ2Elements / kQ2Group;
inline constexpr int kQ2Bytes = 84, kQ2CodesAt = kQ2Groups, kQ2ScaleAt = kQ2CodesAt + 64;
inline constexpr int kQ2Levels = 3;
inline constexpr AffineSearch kQ2Search = {kQ2Levels, -0.5f, 0.1f, 15, /*by_magnitude=*/true},
                              kQ2SearchWeighted = {kQ2Levels, -0.9f, 0.05f, 36};

struct Q2Scales {
  uint16_t d = 0, dmin = 0;        // f16
  uint8_t groups[kQ2Groups] = {};  // scale, and minimum in the upper half

  float ScaleOf(int g) const { return HalfToFloat(d) * static_cast<float>(groups[g] & 15); }
  float MinusMinOf(int g) const { return HalfToFloat(dmin) * static_cast<float>(groups[g] >> 4); }
};

inline Q2Scales LoadQ2Scales(const std::byte* block) {
  Q2Scales scales;
  std::memcpy(scales.groups, block, sizeof scales.groups);
  scales.d = Load<uint16_t>(block + kQ2ScaleAt);
  scales.dmin = Load<uint16_t>(block + kQ2ScaleAt + 2);
  return scales;
}

// Scales and (negated) minimums to 4 bits of their largest.
inline Q2Scales RoundQ2Scales(const float* scales, const float* minus_mins) {
  Q2Scales out;
  const auto round = [&](const float* values, int shift) {
    float max = 0;
    for (int g = 0; g < kQ2Groups; ++g) max = values[g] > max ? values[g] : max;
    const float inverse = max > 0 ? 15.f / max : 0.f;
    for (int g = 0; g < kQ2Groups; ++g)
      out.groups[g] =
          static_cast<uint8_t>(out.groups[g] | NearestInt(inverse * values[g]) << shift);
    return FloatToHalf(max / 15.f);
  };
  out.d = round(scales, 0);
  out.dmin = round(minus_mins, 4);
  return out;
}

// The same with each group weighed by the sum of its elements' weights.
inline Q2Scales SearchQ2Scales(const float* scales, const float* minus_mins, const float* weights) {
  Q2Scales out;
  uint8_t rounded[2][kQ2Groups];
  out.d = FloatToHalf(SearchPositive(scales, weights, kQ2Groups, 15, rounded[0]));
  out.dmin = FloatToHalf(SearchPositive(minus_mins, weights, kQ2Groups, 15, rounded[1]));
  for (int g = 0; g < kQ2Groups; ++g)
    out.groups[g] = static_cast<uint8_t>(rounded[0][g] | rounded[1][g] << 4);
  return out;
}

// By which importance is spread over a super-block.
inline float Q2Variance(const float* x) {
  float sum = 0;
  for (int i = 0; i < kQ2Elements; ++i) sum += x[i] * x[i];
  return sum / kQ2Elements;
}

inline void StoreQ2(const Q2Scales& scales, const uint8_t* codes, std::byte* block) {
  std::memcpy(block, scales.groups, sizeof scales.groups);
  PackTwoBits<kQ2Elements>(codes, block + kQ2CodesAt);
  Store(block + kQ2ScaleAt, scales.d);
  Store(block + kQ2ScaleAt + 2, scales.dmin);
}

}  // namespace quantfleet::pipeline
