// Codes of two bits as ggml packs them: per 128 elements 32 bytes, elements l, l + 32, l + 64 and
// l + 96 in byte l, from the lowest pair up.
#pragma once

#include <cstdint>
#include <cstring>

#include "common/base/bytes.h"

namespace quantfleet::pipeline {

template <int kElements>
void UnpackTwoBits(const std::byte* packed, uint8_t* codes) {
  static_assert(kElements % 128 == 0);
  for (int half = 0; half < kElements / 128; ++half) {
    uint8_t bytes[32];
    std::memcpy(bytes, packed + half * 32, sizeof bytes);
    for (int pair = 0; pair < 4; ++pair)
      for (int l = 0; l < 32; ++l)
        codes[half * 128 + pair * 32 + l] = static_cast<uint8_t>(bytes[l] >> (2 * pair) & 3);
  }
}

template <int kElements>
void PackTwoBits(const uint8_t* codes, std::byte* packed) {
  static_assert(kElements % 128 == 0);
  for (int half = 0; half < kElements / 128; ++half) {
    const uint8_t* q = codes + half * 128;
    uint8_t bytes[32];
    for (int l = 0; l < 32; ++l)
      bytes[l] = static_cast<uint8_t>(q[l] | q[l + 32] << 2 | q[l + 64] << 4 | q[l + 96] << 6);
    std::memcpy(packed + half * 32, bytes, sizeof bytes);
  }
}

}  // namespace quantfleet::pipeline
