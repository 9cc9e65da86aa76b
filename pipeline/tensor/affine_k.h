// What Q4_K and Q5_K share. A super-block of 256 holds 8 sub-blocks of 32: x = d * sc * q - dmin *
// m, with one scale sc and one min m of 6 bits per sub-block, and d and dmin (f16) for them all.
#pragma once

#include <algorithm>
#include <cmath>

#include "common/base/bytes.h"
#include "pipeline/tensor/half.h"
#include "pipeline/tensor/scale_search.h"

namespace quantfleet::pipeline {

inline constexpr int kSuperBlock = 256;
inline constexpr int kSubBlocks = 8;
inline constexpr int kSubBlock = kSuperBlock / kSubBlocks;

// Bytes of d, dmin and the packed 6-bit scales, with which such a block begins.
inline constexpr int kAffineKHeader = 2 + 2 + 12;

inline constexpr AffineSearch kQ4_KSearch = {15, -1.f, 0.1f, 20};
inline constexpr AffineSearch kQ5_KSearch = {31, -0.5f, 0.1f, 15};

struct AffineKHeader {
  uint16_t d, dmin;                              // f16
  uint8_t scales[kSubBlocks], mins[kSubBlocks];  // below 64
};

// The low 6 bits of bytes 0..3 and 4..7 are scales and mins of the first four sub-blocks; bytes
// 8..11 hold the low nibbles of the last four, whose upper two bits lie on top of the first eight
// bytes.
inline void StoreHeader(const AffineKHeader& header, std::byte* block) {
  Store(block, header.d);
  Store(block + 2, header.dmin);
  uint8_t packed[12];
  for (int j = 0; j < 4; ++j) {
    packed[j] = static_cast<uint8_t>(header.scales[j] | header.scales[j + 4] >> 4 << 6);
    packed[j + 4] = static_cast<uint8_t>(header.mins[j] | header.mins[j + 4] >> 4 << 6);
    packed[j + 8] = static_cast<uint8_t>((header.scales[j + 4] & 15) | header.mins[j + 4] << 4);
  }
  std::memcpy(block + 4, packed, sizeof packed);
}

inline AffineKHeader LoadHeader(const std::byte* block) {
  AffineKHeader header;
  header.d = Load<uint16_t>(block);
  header.dmin = Load<uint16_t>(block + 2);
  uint8_t packed[12];
  std::memcpy(packed, block + 4, sizeof packed);
  for (int j = 0; j < 4; ++j) {
    header.scales[j] = packed[j] & 63;
    header.mins[j] = packed[j + 4] & 63;
    header.scales[j + 4] = static_cast<uint8_t>((packed[j + 8] & 15) | packed[j] >> 6 << 4);
    header.mins[j + 4] = static_cast<uint8_t>(packed[j + 8] >> 4 | packed[j + 4] >> 6 << 4);
  }
  return header;
}

// Scales and (negated) mins to 6 bits of their largest.
inline AffineKHeader RoundScales(const float* scales, const float* minus_mins) {
  AffineKHeader header;
  const auto round = [](const float* values, uint8_t* out) {
    float max = 0;
    for (int j = 0; j < kSubBlocks; ++j) max = values[j] > max ? values[j] : max;
    const float inverse = max > 0 ? 63.f / max : 0.f;
    for (int j = 0; j < kSubBlocks; ++j)
      out[j] = std::min<uint8_t>(63, static_cast<uint8_t>(NearestInt(inverse * values[j])));
    return FloatToHalf(max / 63.f);
  };
  header.d = round(scales, header.scales);
  header.dmin = round(minus_mins, header.mins);
  return header;
}

// The same with each sub-block weighed by the sum of its elements' weights.
inline AffineKHeader SearchScales(const float* scales, const float* minus_mins,
                                  const float* weights) {
  AffineKHeader header;
  header.d = FloatToHalf(SearchPositive(scales, weights, kSubBlocks, 63, header.scales));
  header.dmin = FloatToHalf(SearchPositive(minus_mins, weights, kSubBlocks, 63, header.mins));
  for (uint8_t& scale : header.scales) scale = std::min<uint8_t>(63, scale);
  for (uint8_t& min : header.mins) min = std::min<uint8_t>(63, min);
  return header;
}

// What one sub-block decodes with.
struct SubScale {
  float scale, minus_min;
};
inline SubScale SubScaleOf(const AffineKHeader& header, int j) {
  return {HalfToFloat(header.d) * static_cast<float>(header.scales[j]),
          HalfToFloat(header.dmin) * static_cast<float>(header.mins[j])};
}

// Codes anew with the scales as stored; a sub-block whose scale became 0 keeps the search's.
inline void Requantize(const float* x, const AffineKHeader& header, int levels, uint8_t* codes) {
  for (int j = 0; j < kSubBlocks; ++j) {
    const SubScale sub = SubScaleOf(header, j);
    if (sub.scale == 0.f) continue;
    for (int i = j * kSubBlock; i < (j + 1) * kSubBlock; ++i)
      codes[i] = static_cast<uint8_t>(
          std::clamp(NearestInt((x[i] + sub.minus_min) / sub.scale), 0, levels));
  }
}

// Header and codes without importance: weights are sqrt(mean square of the sub-block) + |x|.
inline AffineKHeader EncodeAffineK(const float* x, const AffineSearch& how, uint8_t* codes) {
  float scales[kSubBlocks], minus_mins[kSubBlocks];
  for (int j = 0; j < kSubBlocks; ++j) {
    const float* sub = x + j * kSubBlock;
    float sum = 0;
    for (int i = 0; i < kSubBlock; ++i) sum += sub[i] * sub[i];
    const float typical = std::sqrt(sum / kSubBlock);
    float weights[kSubBlock];
    for (int i = 0; i < kSubBlock; ++i) weights[i] = typical + std::fabs(sub[i]);
    const Affine found = SearchAffine<kSubBlock>(sub, weights, how, codes + j * kSubBlock);
    scales[j] = found.scale;
    minus_mins[j] = -found.min;
  }
  const AffineKHeader header = RoundScales(scales, minus_mins);
  Requantize(x, header, how.levels, codes);
  return header;
}

// Header and codes with importance: weights are importance * sqrt(twice the super-block's mean
// square + x^2).
inline AffineKHeader EncodeAffineKWeighted(const float* x, const float* importance, int levels,
                                           uint8_t* codes) {
  float sum = 0;
  for (int i = 0; i < kSuperBlock; ++i) sum += x[i] * x[i];
  const float variance = 2 * sum / kSuperBlock;
  float scales[kSubBlocks], minus_mins[kSubBlocks], sub_weights[kSubBlocks];
  for (int j = 0; j < kSubBlocks; ++j) {
    const float* sub = x + j * kSubBlock;
    float weights[kSubBlock];
    float total = 0;
    for (int i = 0; i < kSubBlock; ++i) {
      weights[i] = importance[j * kSubBlock + i] * std::sqrt(variance + sub[i] * sub[i]);
      total += weights[i];
    }
    sub_weights[j] = total;
    const Affine found =
        SearchAffine<kSubBlock>(sub, weights, {levels, -0.9f, 0.05f, 36}, codes + j * kSubBlock);
    scales[j] = found.scale;
    minus_mins[j] = -found.min;
  }
  const AffineKHeader header = SearchScales(scales, minus_mins, sub_weights);
  Requantize(x, header, levels, codes);
  return header;
}

// 64 elements take 32 bytes: element l in the low nibble of byte l, element l + 32 in the high one.
inline void PackNibblesK(const uint8_t* codes, std::byte* out) {
  for (int group = 0; group < kSuperBlock / 64; ++group) {
    uint8_t packed[32];
    for (int l = 0; l < 32; ++l)
      packed[l] =
          static_cast<uint8_t>((codes[group * 64 + l] & 15) | codes[group * 64 + l + 32] << 4);
    std::memcpy(out + group * 32, packed, sizeof packed);
  }
}

inline void UnpackNibblesK(const std::byte* packed, uint8_t* codes) {
  for (int group = 0; group < kSuperBlock / 64; ++group) {
    uint8_t bytes[32];
    std::memcpy(bytes, packed + group * 32, sizeof bytes);
    for (int l = 0; l < 32; ++l) codes[group * 64 + l] = bytes[l] & 15;
    for (int l = 0; l < 32; ++l) codes[group * 64 + l + 32] = bytes[l] >> 4;
  }
}

// The fifth bit of element i is bit i / 32 of byte i % 32.
inline void PackFifthBitsK(const uint8_t* codes, std::byte* out) {
  uint8_t high[kSubBlock] = {};
  for (int j = 0; j < kSubBlocks; ++j) {
    for (int l = 0; l < kSubBlock; ++l)
      high[l] = static_cast<uint8_t>(high[l] | codes[j * kSubBlock + l] >> 4 << j);
  }
  std::memcpy(out, high, sizeof high);
}

inline void UnpackFifthBitsK(const std::byte* packed, uint8_t* codes) {
  uint8_t high[kSubBlock];
  std::memcpy(high, packed, sizeof high);
  for (int j = 0; j < kSubBlocks; ++j) {
    for (int l = 0; l < kSubBlock; ++l)
      codes[j * kSubBlock + l] =
          static_cast<uint8_t>(codes[j * kSubBlock + l] | (high[l] >> j & 1) << 4);
  }
}

inline void DecodeAffineK(const AffineKHeader& header, const uint8_t* codes, float* x) {
  for (int j = 0; j < kSubBlocks; ++j) {
    const SubScale sub = SubScaleOf(header, j);
    for (int i = j * kSubBlock; i < (j + 1) * kSubBlock; ++i)
      x[i] = sub.scale * static_cast<float>(codes[i]) - sub.minus_min;
  }
}

}  // namespace quantfleet::pipeline
