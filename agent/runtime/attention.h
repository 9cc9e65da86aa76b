// One head of attention: softmax(query . keys / sqrt(dim)) values over the positions up to the query's own. Phi-3's
// sliding window is not applied: neither does llama.cpp, whose results ours have to match. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "agent/runtime/matrix_ops.h"
#include "agent/runtime/vector_ops.h"

namespace quantfleet::agent {

// What a head has of a sequence: [position][dim].
struct HeadCache {
  const float* keys;
  const float* values;
  int64_t dim;
};

// A single query, which reaches the first `reach` positions. `scores` is room, the same for many calls.
void AttendAlone(const VectorOps& ops, const HeadCache& cache, const float* query, int64_t reach,
                 std::vector<float>& scores, float* out);

inline constexpr int64_t kMostTogether = 64;

// Queries that follow each other, at most kMostTogether, `stride` floats apart as their results, of which the first reaches
// `reach` positions: two products of matrices, which read each key and value once for all of them. `multiply` is that of F32.
// A NaN or infinity among the values of later positions reaches earlier rows too.
void AttendTogether(MultiplyRows multiply, const HeadCache& cache, const float* queries, int64_t rows, int64_t stride,
                    int64_t reach, std::vector<float>& scores, float* out);

}  // namespace quantfleet::agent
