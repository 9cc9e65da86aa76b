// Bytes that nothing compresses, the same for the same seed.
#pragma once

#include "common/base/random.h"

namespace quantfleet::testing {

inline Bytes Noise(size_t n, uint64_t seed) {
  Bytes bytes(n);
  SeededRandom(seed).Fill(bytes);
  return bytes;
}

}  // namespace quantfleet::testing
