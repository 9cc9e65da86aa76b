// Attention over a KV cache as it lies in memory: softmax(query . keys / sqrt(dim)) values, over
// the positions up to a query's own. Keys and values are read as they are stored (F32, F16 or Q8_0)
// and never decoded as a whole. A head may have a window and a cap on its scores. Phi-3's sliding
// window is none: llama.cpp, whose results ours have to match, does not apply it either.
//
// One set of kernels per instruction set, all of one text over the width of a register
// (attention_kernels-inl.h), and a scalar twin that says what they mean. Sets differ from each
// other by rounding only. Pure, thread-safe; room is the caller's, and none of it grows with the
// length: softmax goes over tiles of positions, with its greatest score and sums so far.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>
#include <vector>

#include "pipeline/tensor/dtype.h"

namespace quantfleet::engine {

// What a KV head has of a sequence: a key and a value of `dim` elements per position, row_bytes
// apart.
struct HeadCache {
  const std::byte* keys;
  const std::byte* values;
  int64_t row_bytes;
  int64_t dim;
  int64_t window = 0;  // positions that a query of a block sees, its own among them; 0: all
  float cap = 0;       // scores s become cap * tanh(s / cap); 0: they stay as they are
  // One more score of each query (not divided by the root of dim), whose value is nothing: what a
  // block's result loses to it. Ranges know nothing of it.
  float sink = -std::numeric_limits<float>::infinity();
};

inline constexpr int64_t kMaxTogether = 64;  // queries of a block

// What one query has of a range of positions, to be merged with that of other ranges: the greatest
// score (a power of two's exponent), the sum of the weights against it, and the weighted sum of the
// values.
int64_t PartialFloats(int64_t dim);
// Room that a call of a kernel needs, in floats.
int64_t ScratchFloats(int64_t dim);

struct AttentionKernels {
  // `x`, dim elements, as a row of a cache.
  void (*store)(const float* x, int64_t dim, std::byte* row);
  // Queries, one behind the other, that share the head: each gets its partial result over positions
  // [begin, end), which is what it would get alone, bit for bit.
  void (*range)(const HeadCache& cache, const float* queries, int64_t count, int64_t begin,
                int64_t end, float* partials, float* scratch);
  // Queries that follow each other in a sequence, at most kMaxTogether, `stride` floats apart as
  // their results, of which the first reaches `reach` positions and each other one more. What
  // stands behind its own reach, or before its window, does not change a row, not even NaN.
  void (*block)(const HeadCache& cache, const float* queries, int64_t rows, int64_t stride,
                int64_t reach, float* scratch, float* out);
};

struct AttentionOps {
  std::string_view name;
  const AttentionKernels* (*find)(pipeline::DType type);  // null: no cache holds the type
};

// The partial results of one query over `ranges` ranges, in their order and `stride` floats apart,
// become its result: dim floats. `sink` as HeadCache has it.
void MergePartials(const float* partials, int64_t stride, int64_t ranges, int64_t dim, float* out,
                   float sink = -std::numeric_limits<float>::infinity());

// The best set that this machine runs.
const AttentionOps& ChosenAttentionOps();
// Portable code, on the codecs themselves.
const AttentionOps& ScalarAttentionOps();
// Every set that this machine runs, the scalar one first; for tests.
std::vector<const AttentionOps*> AllAttentionOps();
#if defined(__x86_64__)
// Only to be called where the CPU has AVX2, FMA and F16C.
const AttentionOps& Avx2AttentionOps();
// Only where it has AVX-512 F, BW, DQ and VL too.
const AttentionOps& Avx512AttentionOps();
#elif defined(__aarch64__)
const AttentionOps& NeonAttentionOps();
#endif

}  // namespace quantfleet::engine
