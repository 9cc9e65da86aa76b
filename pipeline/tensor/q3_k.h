// Q3_K's parts. A super-block of 256 in 110 bytes: 32 bytes of third bits, 64 of low bit pairs, 12
// of scales with 6 bits for each group of 16, then d (f16). x = d * (sc - 32) * (q - 4), q in 0..7.
#pragma once

#include "pipeline/tensor/symmetric_k.h"
#include "pipeline/tensor/two_bits.h"

namespace quantfleet::pipeline {

inline constexpr int kQ3Bytes = 110, kQ3CodesAt = 32, kQ3ScalesAt = kQ3CodesAt + 64,
                     kQ3ScaleAt = kQ3ScalesAt + 12;
inline constexpr int kQ3Levels = 4, kQ3ScaleLevels = 32;

// The groups' scales, of as many as Q6_K has, to 6 bits of the largest in magnitude.
inline Q6Scales RoundQ3Scales(const float* scales) {
  float largest = 0, max = 0;
  for (int g = 0; g < kQ6Groups; ++g) {
    if (std::fabs(scales[g]) > largest) {
      largest = std::fabs(scales[g]);
      max = scales[g];
    }
  }
  Q6Scales out;
  if (max == 0.f) {
    std::fill_n(out.groups, kQ6Groups, static_cast<int8_t>(-kQ3ScaleLevels));
    return out;
  }
  const float inverse = -static_cast<float>(kQ3ScaleLevels) / max;
  out.d = FloatToHalf(1 / inverse);
  for (int g = 0; g < kQ6Groups; ++g)
    out.groups[g] = static_cast<int8_t>(
        std::clamp(NearestInt(inverse * scales[g]), -kQ3ScaleLevels, kQ3ScaleLevels - 1));
  return out;
}

// The same with each group weighed by the sum of its elements' weights.
inline Q6Scales SearchQ3Scales(const float* scales, const float* weights) {
  uint8_t rounded[kQ6Groups];
  Q6Scales out;
  out.d = FloatToHalf(SearchSymmetric<kQ6Groups>(scales, weights, kQ3ScaleLevels, rounded));
  for (int g = 0; g < kQ6Groups; ++g)
    out.groups[g] = static_cast<int8_t>(rounded[g] - kQ3ScaleLevels);
  return out;
}

// By which importance is spread over a super-block.
inline float Q3Variance(const float* x) {
  float sum = 0;
  for (int i = 0; i < kQ6Elements; ++i) sum += x[i] * x[i];
  return 2 * sum / kQ6Elements;
}

// The low nibbles of bytes 0..7 are the first eight scales' low 4 bits, the high ones those of the
// others; bytes 8..11 hold the upper two bits of scales j, j + 4, j + 8 and j + 12.
inline int Q3ScaleOf(const std::byte* packed, int group) {
  const auto low = Load<uint8_t>(packed + group % 8), high = Load<uint8_t>(packed + 8 + group % 4);
  return (group < 8 ? low & 15 : low >> 4) | (high >> (2 * (group / 4)) & 3) << 4;
}

inline void PackQ3Scales(const int8_t* groups, std::byte* out) {
  uint8_t packed[12] = {};
  for (int g = 0; g < kQ6Groups; ++g) {
    const int scale = groups[g] + kQ3ScaleLevels;
    packed[g % 8] = static_cast<uint8_t>(packed[g % 8] | (scale & 15) << (g < 8 ? 0 : 4));
    packed[8 + g % 4] = static_cast<uint8_t>(packed[8 + g % 4] | scale >> 4 << 2 * (g / 4));
  }
  std::memcpy(out, packed, sizeof packed);
}

inline void PackQ3Codes(const uint8_t* codes, std::byte* block) {
  uint8_t third[32] = {}, low[kQ6Elements];
  for (int i = 0; i < kQ6Elements; ++i) {
    third[i % 32] = static_cast<uint8_t>(third[i % 32] | codes[i] >> 2 << i / 32);
    low[i] = codes[i] & 3;
  }
  std::memcpy(block, third, sizeof third);
  PackTwoBits<kQ6Elements>(low, block + kQ3CodesAt);
}

inline void StoreQ3(const Q6Scales& scales, const uint8_t* codes, std::byte* block) {
  PackQ3Codes(codes, block);
  PackQ3Scales(scales.groups, block + kQ3ScalesAt);
  Store(block + kQ3ScaleAt, scales.d);
}

}  // namespace quantfleet::pipeline
