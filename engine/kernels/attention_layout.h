// How the room of attention's kernels is laid out, the same for every set of them. Private to
// attention*.cc.
#pragma once

#include <cfloat>
#include <cstdint>

#include "engine/kernels/attention.h"

namespace quantfleet::engine {

inline constexpr int64_t kStep = 32;  // elements that kernels take at once: a block of Q8_0
inline constexpr int64_t kTile = 64;  // positions whose scores are held at once, for each query
inline constexpr int64_t kBlockTile =
    48;  // the same for a block of queries, with their keys or values as floats
inline constexpr int64_t kHeads = 8;  // queries that share a head and are taken at once
inline constexpr float kLowest =
    -FLT_MAX;  // below every score: minus infinity less itself would be NaN
inline constexpr double kLog2E = 1.44269504088896340736;  // kernels take powers of two

inline int64_t Padded(int64_t dim) { return (dim + kStep - 1) / kStep * kStep; }

// The first position that a query sees which reaches so many of them.
inline int64_t WindowBegin(const HeadCache& cache, int64_t reach) {
  return cache.window > 0 && cache.window < reach ? reach - cache.window : 0;
}

// A partial result: two numbers, then the values' sum from kPartialHead on.
inline constexpr int64_t kMax = 0, kTotal = 1, kPartialHead = kStep;

}  // namespace quantfleet::engine
