// The codebooks of ggml's IQ1, IQ2 and IQ3 types: a code of 8 to 11 bits is the number of a point,
// which is 8 or 4 neighbouring elements at once. The points were chosen by training and follow no
// rule, so they are data (codebooks.cc). docs/formats/blocks.md says how a row is made of them.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>

#include "common/base/bytes.h"

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
extern const Codebook<8, 2048> kIq1Points;  // eight times the coordinates

// The signs of eight elements of which seven are stored: an even number of them is negative.
inline uint8_t EvenSigns(uint32_t seven) {
  uint32_t parity = seven ^ seven >> 4;
  parity ^= parity >> 2;
  parity ^= parity >> 1;
  return static_cast<uint8_t>(seven | (parity & 1) << 7);
}

// Eight codes at once: byte j of `codes`, which are above 0, negated where bit j of the signs is
// set.
inline void StoreSigned(uint64_t codes, uint8_t signs, int8_t* out) {
  constexpr uint64_t kOnes = 0x0101010101010101;
  const uint64_t bits = signs * kOnes & 0x8040201008040201;
  const uint64_t negative = (bits + 127 * kOnes) >> 7 & kOnes;
  // -v is ~v + 1; no byte carries.
  codes = (codes ^ negative * 255) + negative;
  std::memcpy(out, &codes, sizeof codes);
}

inline void StoreSigned(const CodebookPoint<8>& point, uint8_t signs, int8_t* out) {
  StoreSigned(std::bit_cast<uint64_t>(point), signs, out);
}

inline void StoreSigned(const CodebookPoint<4>& first, const CodebookPoint<4>& second,
                        uint8_t signs, int8_t* out) {
  StoreSigned(uint64_t{std::bit_cast<uint32_t>(second)} << 32 | std::bit_cast<uint32_t>(first),
              signs, out);
}

// Scales of 16 groups of 16, a nibble each: d * (sc + 1/2) / 4, as IQ2_XS and IQ2_S have them.
inline void StoreScales(float d, const std::byte* nibbles, float* scales) {
  for (int g = 0; g < 16; ++g) {
    const int scale = Load<uint8_t>(nibbles + g / 2) >> (g % 2 * 4) & 15;
    scales[g] = d * (0.5f + static_cast<float>(scale)) * 0.25f;
  }
}

// IQ1's: eight times the coordinate, and 1 more or less.
inline void StoreShifted(const CodebookPoint<8>& point, bool down, int8_t* out) {
  constexpr uint64_t kOnes = 0x0101010101010101, kHigh = 128 * kOnes;
  const uint64_t codes = std::bit_cast<uint64_t>(point), shift = down ? 255 * kOnes : kOnes;
  // Byte by byte: the highest bits are added apart, so that nothing carries.
  const uint64_t sum = ((codes & ~kHigh) + (shift & ~kHigh)) ^ ((codes ^ shift) & kHigh);
  std::memcpy(out, &sum, sizeof sum);
}

}  // namespace quantfleet::pipeline
