// Rows of a matrix, as the file stores them, times the rows of a batch: the products in which
// nearly all of a model's time goes. One set per instruction set, chosen once. Against blocks of
// integers the activations are integers of eight bits too, so that a product is one instruction for
// many elements; against floats they stay floats. A batch shares one decoding of the weights.
//
// Each result is computed by one thread in an order that depends on the matrix's columns and on
// whether the batch is small, never on how rows are cut. Sets differ from each other by rounding
// only. Pure, thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "pipeline/tensor/dtype.h"

namespace quantfleet::engine {

inline constexpr int64_t kActivationBlock = 32;  // elements that share a scale
inline constexpr int64_t kActivationUnit = 256;  // rows are filled up with zeros to whole units

// One row of activations: x[i] ~ scales[i / 32] * codes[i].
struct ActivationRow {
  const float* values;
  const int8_t* codes;     // -127..127
  const float* scales;     // one per 32
  const float* sums;       // scale times the sum of the codes, one per 32
  const float* half_sums;  // the same, one per 16
};

// Writes whole units, also where n ends within one; n is a multiple of 32.
using QuantizeRow = void (*)(const float* x, int64_t n, int8_t* codes, float* scales, float* sums,
                             float* half_sums);

// y[t * y_stride + r] = row r times x[t], for `rows` rows that lie row_bytes apart.
using MultiplyRows = void (*)(const std::byte* weights, int64_t row_bytes, int64_t rows,
                              int64_t cols, std::span<const ActivationRow> x, float* y,
                              int64_t y_stride);

struct MatrixOps {
  std::string_view name;
  QuantizeRow quantize;
  // Null: this set has nothing better for the type than vector_ops.h.
  MultiplyRows (*multiply)(pipeline::DType type);
  // The same for rows of unlike sequences: each result is what its row would give alone, bit for
  // bit.
  MultiplyRows (*multiply_apart)(pipeline::DType type);
};

// True for the types whose products take the activations as integers.
bool TakesIntegers(pipeline::DType type);

// The best set that this machine runs.
const MatrixOps& ChosenMatrixOps();
// Portable code, for the block types alone.
const MatrixOps& ScalarMatrixOps();
// Every set that this machine runs, for tests.
std::vector<const MatrixOps*> AllMatrixOps();
#if defined(__x86_64__)
// Only to be called where the CPU has AVX2, FMA and F16C.
const MatrixOps& Avx2MatrixOps();
// Only where it has AVX-512 F, BW, DQ, VL and VNNI too.
const MatrixOps& Avx512MatrixOps();
#elif defined(__aarch64__)
// These three give each other's bits.
const MatrixOps& NeonMatrixOps();
// Only to be called where the CPU has FEAT_DotProd.
const MatrixOps& DotprodMatrixOps();
// Only where it has FEAT_I8MM too.
const MatrixOps& I8mmMatrixOps();
#endif

}  // namespace quantfleet::engine
