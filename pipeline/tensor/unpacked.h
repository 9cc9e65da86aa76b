// Super-blocks whose values are whole numbers times a scale for each 16 of them. Such a type says
// how a block is unpacked; that decodes it, and it is what the engine multiplies as integers.
#pragma once

#include <cstddef>
#include <cstdint>

namespace quantfleet::pipeline {

struct UnpackedBlock {
  static constexpr int kElements = 256, kGroup = 16;

  // x[i] = scales[i / 16] * codes[i].
  alignas(32) int8_t codes[kElements];
  float scales[kElements / kGroup];

  void Decode(float* x) const {
    for (int g = 0; g < kElements / kGroup; ++g)
      for (int i = g * kGroup; i < (g + 1) * kGroup; ++i)
        x[i] = scales[g] * static_cast<float>(codes[i]);
  }
};

}  // namespace quantfleet::pipeline
