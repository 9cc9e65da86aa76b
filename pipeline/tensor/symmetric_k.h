// Q6_K's parts. A super-block of 256 holds 16 groups of 16: x = d * sc * q, q in -32..31, with a
// signed scale sc of 8 bits per group and d (f16) for them all.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>

#include "common/base/bytes.h"
#include "pipeline/tensor/half.h"
#include "pipeline/tensor/scale_search.h"

namespace quantfleet::pipeline {

inline constexpr int kQ6Elements = 256;
inline constexpr int kQ6Groups = 16;
inline constexpr int kQ6Group = kQ6Elements / kQ6Groups;
inline constexpr int kQ6Levels = 32;
inline constexpr int kQ6Bytes = 210;
inline constexpr int kQ6High = 128, kQ6Scales = 192,
                     kQ6Scale = 208;  // where they begin; the low nibbles at 0

struct Q6Scales {
  uint16_t d = 0;  // f16
  int8_t groups[kQ6Groups] = {};
};

// The groups' scales to 8 bits of the largest in magnitude. False for a super-block that is zero
// altogether.
inline bool RoundGroupScales(const float* scales, Q6Scales& out) {
  float largest = 0, max = 0;
  for (int g = 0; g < kQ6Groups; ++g) {
    if (std::fabs(scales[g]) > largest) {
      largest = std::fabs(scales[g]);
      max = scales[g];
    }
  }
  if (largest < kZeroBlock) return false;
  const float inverse = -128.f / max;
  out.d = FloatToHalf(1 / inverse);
  for (int g = 0; g < kQ6Groups; ++g)
    out.groups[g] = static_cast<int8_t>(std::min(127, NearestInt(inverse * scales[g])));
  return true;
}

// Codes anew with the scales as stored; a group whose scale became 0 keeps the search's.
template <int kLevels = kQ6Levels>
void RequantizeGroups(const float* x, const Q6Scales& scales, uint8_t* codes) {
  for (int g = 0; g < kQ6Groups; ++g) {
    const float d = HalfToFloat(scales.d) * static_cast<float>(scales.groups[g]);
    if (d == 0.f) continue;
    for (int i = g * kQ6Group; i < (g + 1) * kQ6Group; ++i)
      codes[i] =
          static_cast<uint8_t>(std::clamp(NearestInt(x[i] / d), -kLevels, kLevels - 1) + kLevels);
  }
}

// Per 128 elements: 64 bytes of nibbles, elements l and l + 64 in byte l; 32 bytes of upper bit
// pairs, elements l, l + 32, l + 64 and l + 96 in byte l, from the lowest pair up.
inline void PackQ6(const uint8_t* codes, const Q6Scales& scales, std::byte* block) {
  for (int half = 0; half < 2; ++half) {
    const uint8_t* q = codes + half * 128;
    uint8_t low[64], high[32];
    for (int l = 0; l < 64; ++l) low[l] = static_cast<uint8_t>((q[l] & 15) | q[l + 64] << 4);
    for (int l = 0; l < 32; ++l) {
      high[l] = static_cast<uint8_t>(q[l] >> 4 | q[l + 32] >> 4 << 2 | q[l + 64] >> 4 << 4 |
                                     q[l + 96] >> 4 << 6);
    }
    std::memcpy(block + half * 64, low, sizeof low);
    std::memcpy(block + kQ6High + half * 32, high, sizeof high);
  }
  std::memcpy(block + kQ6Scales, scales.groups, sizeof scales.groups);
  Store(block + kQ6Scale, scales.d);
}

inline void UnpackQ6(const std::byte* block, uint8_t* codes, Q6Scales& scales) {
  for (int half = 0; half < 2; ++half) {
    uint8_t* q = codes + half * 128;
    uint8_t low[64], high[32];
    std::memcpy(low, block + half * 64, sizeof low);
    std::memcpy(high, block + kQ6High + half * 32, sizeof high);
    for (int l = 0; l < 64; ++l) q[l] = low[l] & 15;
    for (int l = 0; l < 64; ++l) q[l + 64] = low[l] >> 4;
    for (int part = 0; part < 4; ++part) {
      for (int l = 0; l < 32; ++l)
        q[part * 32 + l] =
            static_cast<uint8_t>(q[part * 32 + l] | (high[l] >> (2 * part) & 3) << 4);
    }
  }
  std::memcpy(scales.groups, block + kQ6Scales, sizeof scales.groups);
  scales.d = Load<uint16_t>(block + kQ6Scale);
}

}  // namespace quantfleet::pipeline
