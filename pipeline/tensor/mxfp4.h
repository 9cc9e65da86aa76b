// MXFP4 (OCP's microscaling): 32 elements in 17 bytes: a scale that is a power of two (E8M0), then
// 16 bytes of FP4 codes. x = 2^(e - 128) * kFp4Values[code]: the table holds doubled values.
#pragma once

#include <bit>
#include <cstdint>

namespace quantfleet::pipeline {

// Half of 2^(e - 127). The two smallest are subnormal floats; 255, OCP's NaN, is 2^127 to ggml.
inline float HalvedE8M0(uint8_t e) {
  return std::bit_cast<float>(e < 2 ? 0x00200000u << e : static_cast<uint32_t>(e - 1) << 23);
}

}  // namespace quantfleet::pipeline
