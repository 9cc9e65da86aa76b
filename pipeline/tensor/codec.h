// One codec per element type: F32 rows to blocks, blocks to F32 rows, and the dot product of a row
// of blocks with an F32 vector. Blocks of ggml's types have the bytes of its reference quantizer
// (docs/formats/blocks.md). Pure and thread-safe.
#pragma once

#include <cstdint>

#include "common/base/bytes.h"
#include "pipeline/tensor/dtype.h"

namespace quantfleet::pipeline {

struct UnpackedBlock;  // unpacked.h

struct Codec {
  DType type;
  // Encodes rows x cols values; `importance` (cols values, >= 0) weighs the columns, or is null.
  // Types whose reference ignores importance ignore it too. out holds rows * RowBytes(type, cols).
  // Null for a type that is never made (DTypeInfo::made).
  void (*encode)(const float* values, int64_t rows, int64_t cols, const float* importance,
                 std::byte* out);
  // Decodes n values (whole blocks; of a type whose block is a row, one row).
  void (*decode)(const std::byte* blocks, int64_t n, float* out);
  // Sum over n of decoded value times x, added in F32.
  float (*dot)(const std::byte* blocks, const float* x, int64_t n);
  // One block as whole numbers and scales. Null for types that say Decode instead.
  void (*unpack)(const std::byte* block, UnpackedBlock& out) = nullptr;
};

// Null when this build has no codec for the type.
const Codec* FindCodec(DType type);

// Index of the first NaN or infinity among n values, or -1.
int64_t FindNonFinite(const float* values, int64_t n);

}  // namespace quantfleet::pipeline
