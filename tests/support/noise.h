// Made-up data, the same for the same seed.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include "common/base/random.h"

namespace quantfleet::testing {

// Bytes that nothing compresses.
inline Bytes Noise(size_t n, uint64_t seed) {
  Bytes bytes(n);
  SeededRandom(seed).Fill(bytes);
  return bytes;
}

// Normally distributed numbers around zero.
inline std::vector<float> NormalFloats(int64_t n, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<size_t>(n));
  for (float& v : values) v = normal(random);
  return values;
}

}  // namespace quantfleet::testing
