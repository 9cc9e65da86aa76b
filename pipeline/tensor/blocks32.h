// What the types with blocks of 32 share: codes found by rounding, weights from importance, and packed codes. Byte j of
// the packed nibbles holds element j in its low half and element j + 16 in its high one.
#pragma once

#include <cmath>

#include "common/base/bytes.h"
#include "pipeline/tensor/half.h"
#include "pipeline/tensor/scale_search.h"

namespace quantfleet::pipeline {

inline constexpr int kBlock32 = 32;

// x ~ scale * (code - levels); returns the scale, before it is rounded for storing.
inline float RoundSymmetric(const float* x, int levels, uint8_t* codes) {
  const float scale = SignedMax<kBlock32>(x) / -static_cast<float>(levels);
  const float inverse = Reciprocal(scale);
  for (int i = 0; i < kBlock32; ++i) {
    const int32_t code = ToByteInt(x[i] * inverse + (static_cast<float>(levels) + 0.5f));
    codes[i] = static_cast<uint8_t>(code > 2 * levels - 1 ? 2 * levels - 1 : code);
  }
  return scale;
}

// x ~ scale * code + min, code in 0 .. levels.
inline Affine RoundAffine(const float* x, int levels, uint8_t* codes) {
  float min = x[0], max = x[0];
  for (int i = 1; i < kBlock32; ++i) {
    min = x[i] < min ? x[i] : min;
    max = x[i] > max ? x[i] : max;
  }
  const float scale = (max - min) / static_cast<float>(levels);
  const float inverse = Reciprocal(scale);
  for (int i = 0; i < kBlock32; ++i) {
    const int32_t code = ToByteInt((x[i] - min) * inverse + 0.5f);
    codes[i] = static_cast<uint8_t>(code > levels ? levels : code);
  }
  return {scale, min};
}

inline void StoreAffine(const Affine& affine, std::byte* block) {
  Store(block, FloatToHalf(affine.scale));
  Store(block + 2, FloatToHalf(affine.min));
}

inline void Weigh32(const float* x, const float* importance, float row_mean_square, float* weights) {
  for (int i = 0; i < kBlock32; ++i) weights[i] = importance[i] * std::sqrt(row_mean_square + x[i] * x[i]);
}

inline void PackNibbles(const uint8_t* codes, std::byte* out) {
  uint8_t packed[kBlock32 / 2];
  for (int j = 0; j < kBlock32 / 2; ++j)
    packed[j] = static_cast<uint8_t>((codes[j] & 15) | codes[j + kBlock32 / 2] << 4);
  std::memcpy(out, packed, sizeof packed);
}

inline void UnpackNibbles(const std::byte* packed, uint8_t* codes) {
  uint8_t bytes[kBlock32 / 2];
  std::memcpy(bytes, packed, sizeof bytes);
  for (int j = 0; j < kBlock32 / 2; ++j) codes[j] = bytes[j] & 15;
  for (int j = 0; j < kBlock32 / 2; ++j) codes[j + kBlock32 / 2] = bytes[j] >> 4;
}

// The fifth bits first, element i in bit i of a word, then the nibbles.
inline void PackFiveBits(const uint8_t* codes, std::byte* out) {
  uint32_t high = 0;
  for (int i = 0; i < kBlock32; ++i) high |= static_cast<uint32_t>(codes[i] >> 4) << i;
  Store(out, high);
  PackNibbles(codes, out + sizeof high);
}

inline void UnpackFiveBits(const std::byte* packed, uint8_t* codes) {
  const uint32_t high = Load<uint32_t>(packed);
  UnpackNibbles(packed + sizeof high, codes);
  for (int i = 0; i < kBlock32; ++i) codes[i] = static_cast<uint8_t>(codes[i] | (high >> i & 1) << 4);
}

}  // namespace quantfleet::pipeline
