// Arithmetic that the block codecs share, written so that a loop over one block of 32 vectorizes.
#pragma once

#include <bit>
#include <cstdint>

namespace quantfleet::pipeline {

// The largest |x| of a block: magnitudes of floats order as their bits do, and integers may be
// reduced in any order.
template <int kElements>
[[gnu::always_inline]] inline float MaxMagnitude(const float* x) {
  int32_t largest = 0;
  for (int i = 0; i < kElements; ++i) {
    const int32_t magnitude = std::bit_cast<int32_t>(x[i]) & 0x7fffffff;
    largest = magnitude > largest ? magnitude : largest;
  }
  return std::bit_cast<float>(largest);
}

// The scale's reciprocal, as the reference takes it: infinite for the smallest subnormal scales.
[[gnu::always_inline]] inline float Reciprocal(float scale) {
  return scale != 0.f ? 1.0f / scale : 0.0f;
}

// Conversion to int as x86 does it before the reference narrows to a byte: what does not fit
// (infinite or NaN after an infinite reciprocal) becomes 0.
[[gnu::always_inline]] inline int32_t ToByteInt(float v) {
  const bool fits = v > -1024.f && v < 1024.f;
  return static_cast<int32_t>(fits ? v : 0.f);
}

// roundf: halves away from zero.
[[gnu::always_inline]] inline int32_t RoundHalfAway(float v) {
  const float safe = v > -1024.f && v < 1024.f ? v : 0.f;
  const int32_t whole = static_cast<int32_t>(safe);
  const float rest = safe - static_cast<float>(whole);  // exact
  return whole + (rest >= 0.5f) - (rest <= -0.5f);
}

// The reference's nearest_int: halves to even, through the float that has no fraction bits left.
[[gnu::always_inline]] inline int32_t NearestInt(float v) {
  return (std::bit_cast<int32_t>(v + 12582912.f) & 0x007fffff) - 0x00400000;
}

}  // namespace quantfleet::pipeline
