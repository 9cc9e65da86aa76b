// Codes of four bits that stand for one of 16 values each, as ggml's IQ4 types and the FP4 types
// have them. Byte j of n / 2 holds element j in its low half and element j + n / 2 in its high one.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>

#include "common/base/bytes.h"

namespace quantfleet::pipeline {

using CodeTable = std::array<int8_t, 16>;

// Values closer together around zero, where weights are.
inline constexpr CodeTable kIq4Values = {-127, -104, -83, -65, -49, -35, -22, -10,
                                         1,    13,   25,  38,  53,  69,  89,  113};
// Twice what FP4 (E2M1: a sign, two bits of exponent, one of fraction) has; -0 is 0.
inline constexpr CodeTable kFp4Values = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

// The largest magnitude there is in a table.
constexpr int LargestOf(const CodeTable& table) {
  int largest = 0;
  for (const int value : table)
    largest =
        value < 0 ? (-value > largest ? -value : largest) : (value > largest ? value : largest);
  return largest;
}

template <int kElements>
void DecodeTableCodes(const CodeTable& table, float scale, const std::byte* packed, float* x) {
  uint8_t bytes[kElements / 2];
  std::memcpy(bytes, packed, sizeof bytes);
  for (int j = 0; j < kElements / 2; ++j) {
    x[j] = scale * static_cast<float>(table[bytes[j] & 15]);
    x[j + kElements / 2] = scale * static_cast<float>(table[bytes[j] >> 4]);
  }
}

}  // namespace quantfleet::pipeline
