// The codebooks of ggml's IQ1, IQ2 and IQ3 types: a code of 8 to 11 bits is the number of a point,
// which is 8 or 4 neighbouring elements at once. The points were chosen by training and follow no
// rule, so they are data (codebooks.cc). docs/formats/blocks.md says how a row is made of them.
#pragma once

#include <array>
#include <cstdint>

namespace quantfleet::pipeline {

template <int kWidth>
using CodebookPoint = std::array<int8_t, kWidth>;
template <int kWidth, int kPoints>
using Codebook = std::array<CodebookPoint<kWidth>, kPoints>;

extern const Codebook<8, 256> kIq2XxsPoints;
extern const Codebook<8, 512> kIq2XsPoints;
extern const Codebook<8, 1024> kIq2SPoints;
extern const Codebook<4, 256> kIq3XxsPoints;
extern const Codebook<4, 512> kIq3SPoints;
extern const Codebook<8, 2048> kIq1Points;

// The signs of eight elements of which seven are stored: an even number of them is negative.
inline uint8_t EvenSigns(uint32_t seven) {
  uint32_t parity = seven ^ seven >> 4;
  parity ^= parity >> 2;
  parity ^= parity >> 1;
  return static_cast<uint8_t>(seven | (parity & 1) << 7);
}

// x = scale * coordinate, negated where bit j of the signs is set.
template <int kWidth>
void DecodePoint(const CodebookPoint<kWidth>& point, uint32_t signs, float scale, float* x) {
  for (int j = 0; j < kWidth; ++j) {
    const int negative = -static_cast<int>(signs >> j & 1);
    x[j] = scale * static_cast<float>((point[j] ^ negative) - negative);
  }
}

// IQ1's: x = scale * (coordinate + shift); the shift is this, or the same below 0.
inline constexpr float kIq1Shift = 0.125f;

inline void DecodeShiftedPoint(const CodebookPoint<8>& point, float shift, float scale, float* x) {
  for (int j = 0; j < 8; ++j) x[j] = scale * (static_cast<float>(point[j]) + shift);
}

}  // namespace quantfleet::pipeline
