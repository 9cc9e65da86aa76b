// The inner loops: a row of blocks times a vector, a row decoded. One set per instruction set,
// chosen once.
//
// Within a set, row_dot over blocks gives the same bits as decode followed by dot, so that a prompt
// run in batches (which decodes a row once for many tokens) equals the same prompt run token by
// token. Sets differ from each other by rounding only. Pure and thread-safe; rows may lie at any
// address.
#pragma once

#include <cstddef>
#include <cstdint>

#include "pipeline/tensor/dtype.h"

namespace quantfleet::engine {

using RowDot = float (*)(const std::byte* row, const float* x, int64_t n);
using RowDecode = void (*)(const std::byte* row, int64_t n, float* out);

struct VectorOps {
  float (*dot)(const float* a, const float* b, int64_t n);
  RowDot (*row_dot)(pipeline::DType type);        // null: the engine does not run this type
  RowDecode (*row_decode)(pipeline::DType type);  // null as row_dot
};

// The best set that this machine runs.
const VectorOps& ChosenOps();
// Portable code, on the codecs themselves.
const VectorOps& ScalarOps();
#if defined(__x86_64__)
// Only to be called where the CPU has AVX2, FMA and F16C.
const VectorOps& Avx2Ops();
#elif defined(__aarch64__)
const VectorOps& NeonOps();
#endif

}  // namespace quantfleet::engine
