// MXFP4 (OCP's microscaling): 32 elements in 17 bytes: a scale that is a power of two (E8M0), then
// 16 bytes of FP4 codes. x = 2^(e - 128) * kFp4Values[code]: the table holds doubled values.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace quantfleet::pipeline {

// Half of 2^(e - 127). The two smallest are subnormal floats; 255, OCP's NaN, is 2^127 to ggml.
inline float HalvedE8M0(uint8_t e) {
  return std::bit_cast<float>(e < 2 ? 0x00200000u << e : static_cast<uint32_t>(e - 1) << 23);
}

// The scale of a block: its largest magnitude comes to 4 .. 8, of which 6 and more are 6. The
// reference's logarithm is a float, so that the last few numbers before a power of two count as
// that power. Where the exponent does not fit a byte, the byte is what is left of it and all codes
// are 0.
inline uint8_t E8M0For(float largest) {
  if (largest == 0.f) return 0;
  const auto bits = std::bit_cast<uint32_t>(largest);
  int exponent = static_cast<int>(bits >> 23) - 127;
  constexpr uint32_t kLast = 0x7fffc0;  // no logarithm below is rounded up
  if (exponent == -127 || (bits & 0x7fffff) >= kLast)
    exponent =
        static_cast<int>(std::floor(static_cast<float>(std::log2(static_cast<double>(largest)))));
  return static_cast<uint8_t>(exponent - 2 + 127);
}

// Half way between two magnitudes of kFp4Values: up to there an element of scale 1 has the smaller.
inline constexpr float kFp4Middles[] = {0.5f, 1.5f, 2.5f, 3.5f, 5.f, 7.f, 10.f};

}  // namespace quantfleet::pipeline
