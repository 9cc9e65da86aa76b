// Q4_0, Q4_1, Q5_0 and Q5_1, and what they share: codes found by rounding, weights from importance,
// and packed codes. Byte j of the packed nibbles holds element j in its low half and element j + 16
// in its high one.
#pragma once

#include <cmath>

#include "common/base/bytes.h"
#include "pipeline/tensor/dtype.h"
#include "pipeline/tensor/half.h"
#include "pipeline/tensor/scale_search.h"

namespace quantfleet::pipeline {

inline constexpr int kBlock32 = 32;

// x ~ scale * (code - levels); returns the scale, before it is rounded for storing.
template <int kElements = kBlock32>
float RoundSymmetric(const float* x, int levels, uint8_t* codes) {
  const float scale = SignedMax<kElements>(x) / -static_cast<float>(levels);
  const float inverse = Reciprocal(scale);
  for (int i = 0; i < kElements; ++i) {
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

inline void Weigh32(const float* x, const float* importance, float row_mean_square,
                    float* weights) {
  for (int i = 0; i < kBlock32; ++i)
    weights[i] = importance[i] * std::sqrt(row_mean_square + x[i] * x[i]);
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
  for (int i = 0; i < kBlock32; ++i)
    codes[i] = static_cast<uint8_t>(codes[i] | (high >> i & 1) << 4);
}

// What the four types are, by the bits of their codes (4 or 5). `kLevels` is what rounding and
// searching are told.
template <int kBits>
struct Codes32 {
  static_assert(kBits == 4 || kBits == 5);
  static constexpr int kBytes = kBits == 4 ? 16 : 20;

  static void Pack(const uint8_t* codes, std::byte* out) {
    if constexpr (kBits == 4) {
      PackNibbles(codes, out);
    } else {
      PackFiveBits(codes, out);
    }
  }
  static void Unpack(const std::byte* packed, uint8_t* codes) {
    if constexpr (kBits == 4) {
      UnpackNibbles(packed, codes);
    } else {
      UnpackFiveBits(packed, codes);
    }
  }
};

// Scale d, then codes: x = d * (u - kLevels).
template <DType kDType, int kBits>
struct Symmetric32 {
  static constexpr DType kType = kDType;
  static constexpr bool kAffine = false;
  static constexpr int kLevels = 1 << (kBits - 1);
  static constexpr int kElements = kBlock32, kBytes = 2 + Codes32<kBits>::kBytes;

  static void Store(const Affine& found, const uint8_t* codes, std::byte* block) {
    quantfleet::Store(block, FloatToHalf(found.scale));
    Codes32<kBits>::Pack(codes, block + 2);
  }

  static void Encode(const float* x, std::byte* block) {
    uint8_t codes[kElements];
    const float scale = RoundSymmetric(x, kLevels, codes);
    Store({scale, 0.f}, codes, block);
  }

  static void EncodeWeighted(const float* x, const float* importance, float mean_square,
                             std::byte* block) {
    float weights[kElements];
    Weigh32(x, importance, mean_square, weights);
    uint8_t codes[kElements];
    const float scale = SearchSymmetric<kElements>(x, weights, kLevels, codes);
    Store({scale, 0.f}, codes, block);
  }

  static void Decode(const std::byte* block, float* x) {
    const float d = HalfToFloat(Load<uint16_t>(block));
    uint8_t codes[kElements];
    Codes32<kBits>::Unpack(block + 2, codes);
    for (int i = 0; i < kElements; ++i) x[i] = static_cast<float>(codes[i] - kLevels) * d;
  }
};

// Scale d and min m, then codes: x = d * u + m, u in 0 .. kLevels.
template <DType kDType, int kBits>
struct Affine32 {
  static constexpr DType kType = kDType;
  static constexpr bool kAffine = true;
  static constexpr int kLevels = (1 << kBits) - 1;
  static constexpr AffineSearch kSearch = {kLevels, -0.9f, 0.05f, 36};
  static constexpr int kElements = kBlock32, kBytes = 4 + Codes32<kBits>::kBytes;

  static void Store(const Affine& found, const uint8_t* codes, std::byte* block) {
    quantfleet::Store(block, FloatToHalf(found.scale));
    quantfleet::Store(block + 2, FloatToHalf(found.min));
    Codes32<kBits>::Pack(codes, block + 4);
  }

  static void Encode(const float* x, std::byte* block) {
    uint8_t codes[kElements];
    const Affine found = RoundAffine(x, kLevels, codes);
    Store(found, codes, block);
  }

  static void EncodeWeighted(const float* x, const float* importance, float mean_square,
                             std::byte* block) {
    float weights[kElements];
    Weigh32(x, importance, mean_square, weights);
    uint8_t codes[kElements];
    const Affine found = SearchAffine<kElements>(x, weights, kSearch, codes);
    Store(found, codes, block);
  }

  static void Decode(const std::byte* block, float* x) {
    const float d = HalfToFloat(Load<uint16_t>(block)), m = HalfToFloat(Load<uint16_t>(block + 2));
    uint8_t codes[kElements];
    Codes32<kBits>::Unpack(block + 4, codes);
    for (int i = 0; i < kElements; ++i) x[i] = static_cast<float>(codes[i]) * d + m;
  }
};

}  // namespace quantfleet::pipeline
