// IQ4_NL and IQ4_XS: codes that stand for 16 values spaced unevenly (kIq4Values), and the
// reference's search for the scale of 32 elements. Float sums add in its order, as in
// scale_search.h: (w * v) * x and (w * v) * v.
#pragma once

#include <cmath>
#include <limits>

#include "common/base/bytes.h"
#include "pipeline/tensor/dtype.h"
#include "pipeline/tensor/half.h"
#include "pipeline/tensor/scale_search.h"
#include "pipeline/tensor/table_codes.h"

namespace quantfleet::pipeline {

inline constexpr int kIq4Block = 32;  // elements that share a scale
// The search tries scales by which the largest value would come to -127 and up to so many beside.
inline constexpr int kIq4Tries = 7;
// The largest magnitude that is searched. No F16 scale reaches even half as far, so blocks that
// exceed it get an infinite one, which whoever writes them refuses.
inline constexpr float kIq4Limit = 1e9f;

// The code whose value is nearest to `level`, the higher one in the middle between two: an element
// x of a block with scale d has the code NearestIq4(x / d).
constexpr uint8_t NearestIq4(float level) {
  int code = 0;
  for (int step = 8; step > 0; step /= 2) {
    const int middle = kIq4Values[code + step - 1] + kIq4Values[code + step];  // doubled
    if (2 * level >= static_cast<float>(middle)) code += step;
  }
  return static_cast<uint8_t>(code);
}

// The same as tables for vectors: by floor(2 * level) + kIq4Middle, clamped, since the middles are
// multiples of a half; and twice the middle between each value and the next.
inline constexpr int kIq4Middle = 256;
struct Iq4Places {
  alignas(64) float values[2 * kIq4Middle];
  int32_t codes[2 * kIq4Middle];
  float value_of[16], middle_after[16];
};
inline constexpr Iq4Places kIq4Places = [] {
  Iq4Places places{};
  for (int i = 0; i < 2 * kIq4Middle; ++i) {
    places.codes[i] = NearestIq4(static_cast<float>(i - kIq4Middle) / 2);
    places.values[i] = kIq4Values[static_cast<size_t>(places.codes[i])];
  }
  for (size_t code = 0; code < 16; ++code) {
    places.value_of[code] = kIq4Values[code];
    places.middle_after[code] = code == 15
                                    ? std::numeric_limits<float>::infinity()
                                    : static_cast<float>(kIq4Values[code] + kIq4Values[code + 1]);
  }
  return places;
}();

// x ~ scale * kIq4Values[code]: the scale that loses least with these weights, 0 where x is. NaN
// where the weights are all 0.
inline float SearchIq4(const float* x, const float* weights) {
  const float max = SignedMax<kIq4Block>(x);
  if (std::fabs(max) < kZeroBlock) return 0;
  struct Fit {
    float vx = 0, v2 = 0;
  };
  const auto fit = [&](float inverse) {
    Fit sums;
    for (int i = 0; i < kIq4Block; ++i) {
      const auto value = static_cast<float>(kIq4Values[NearestIq4(inverse * x[i])]);
      const float weighted = weights[i] * value;
      sums.vx += weighted * x[i];
      sums.v2 += weighted * value;
    }
    return sums;
  };
  constexpr float kLowest = kIq4Values[0];
  const Fit first = fit(1 / (-max / kLowest));
  float scale = first.vx / first.v2;
  float best = scale * first.vx;
  for (int step = -kIq4Tries; step <= kIq4Tries; ++step) {
    const Fit sums = fit((static_cast<float>(step) + kLowest) / max);
    if (sums.v2 > 0 && sums.vx * sums.vx > best * sums.v2) {
      scale = sums.vx / sums.v2;
      best = scale * sums.vx;
    }
  }
  return scale;
}

// Twice the mean square of so many elements, by which importance is spread over them.
template <int kElements>
float Iq4Variance(const float* x) {
  float sum = 0;
  for (int i = 0; i < kElements; ++i) sum += x[i] * x[i];
  return sum * (2.f / kElements);
}

// Weights of a block: x^2, and with importance importance * sqrt(variance + x^2).
inline void WeighIq4(const float* x, const float* importance, float variance, float* weights) {
  for (int i = 0; i < kIq4Block; ++i)
    weights[i] =
        importance == nullptr ? x[i] * x[i] : importance[i] * std::sqrt(variance + x[i] * x[i]);
}

// The codes of 32 elements for this scale, packed; with scale 0 code 8, the value nearest to 0.
using PackIq4Codes = void (*)(const float* x, float scale, std::byte* out);
inline void PackIq4(const float* x, float scale, std::byte* out) {
  const float inverse = Reciprocal(scale);
  uint8_t packed[kIq4Block / 2];
  for (int j = 0; j < kIq4Block / 2; ++j)
    packed[j] = static_cast<uint8_t>(NearestIq4(inverse * x[j]) |
                                     NearestIq4(inverse * x[j + kIq4Block / 2]) << 4);
  std::memcpy(out, packed, sizeof packed);
}

// 32 elements in 18 bytes: scale d (f16), then 16 bytes of codes. x = d * kIq4Values[code].
struct Iq4Nl {
  static constexpr DType kType = DType::kIQ4_NL;
  static constexpr int kElements = kIq4Block, kBytes = 18, kCodesAt = 2;

  // Of one scale, which is stored rounded; codes are found with it as it was.
  static void Store(const float* x, const float* scale, PackIq4Codes pack, std::byte* block) {
    quantfleet::Store(block, FloatToHalf(*scale));
    pack(x, *scale, block + kCodesAt);
  }
};

// 256 elements in 136 bytes: d (f16), 16 bits with the upper two of the eight sub-blocks' scales, 4
// bytes with their low nibbles, then 16 bytes of codes for each sub-block of 32.
// x = d * (sc - 32) * kIq4Values[code].
struct Iq4Xs {
  static constexpr DType kType = DType::kIQ4_XS;
  static constexpr int kElements = 256, kBytes = 136, kSubBlocks = kElements / kIq4Block;
  static constexpr int kUpperAt = 2, kLowerAt = 4, kCodesAt = 8;

  // Of eight scales: they are stored relative to the largest, the first of equals, and codes are
  // found with what they became. A sub-block whose scale is NaN gets 0.
  static void Store(const float* x, const float* scales, PackIq4Codes pack, std::byte* block) {
    float largest = 0, max = 0;
    for (int s = 0; s < kSubBlocks; ++s) {
      if (std::fabs(scales[s]) > largest) {
        largest = std::fabs(scales[s]);
        max = scales[s];
      }
    }
    const float d = -max / 32;
    const float inverse = Reciprocal(d);
    uint32_t upper = 0, lower = 0;
    for (int s = 0; s < kSubBlocks; ++s) {
      const int scale = std::clamp(NearestInt(inverse * scales[s]), -32, 31);
      pack(x + s * kIq4Block, d * static_cast<float>(scale), block + kCodesAt + s * kIq4Block / 2);
      lower |= static_cast<uint32_t>((scale + 32) & 15) << 4 * s;
      upper |= static_cast<uint32_t>((scale + 32) >> 4) << 2 * s;
    }
    quantfleet::Store(block, FloatToHalf(d));
    quantfleet::Store(block + kUpperAt, static_cast<uint16_t>(upper));
    quantfleet::Store(block + kLowerAt, lower);
  }
};

// The block of either type B, portably.
template <class B>
void EncodeIq4(const float* x, const float* importance, std::byte* block) {
  constexpr int kScales = B::kElements / kIq4Block;
  float scales[kScales];
  const bool too_large = !(MaxMagnitude<B::kElements>(x) < kIq4Limit);
  const float variance = importance == nullptr ? 0.f : Iq4Variance<B::kElements>(x);
  for (int s = 0; s < kScales; ++s) {
    const float* sub = x + s * kIq4Block;
    float weights[kIq4Block];
    WeighIq4(sub, importance == nullptr ? nullptr : importance + s * kIq4Block, variance, weights);
    scales[s] = too_large ? std::numeric_limits<float>::infinity() : SearchIq4(sub, weights);
    if (kScales == 1 && std::isnan(scales[s])) {
      WeighIq4(sub, nullptr, 0.f, weights);
      scales[s] = SearchIq4(sub, weights);
    }
  }
  B::Store(x, scales, PackIq4, block);
}

}  // namespace quantfleet::pipeline
