// Parts of encoded blocks, for formats that keep codes and scales apart (docs/formats/mlx.md,
// docs/formats/onnx.md, docs/formats/openvino.md): the numbers are those of the block type, only
// their places differ. Pure and thread-safe.
#pragma once

#include <cstdint>

#include "common/base/bytes.h"
#include "pipeline/tensor/dtype.h"

namespace quantfleet::pipeline {

// kCodes and kScales* exist of q4_0, q4_1, q8_0 and every GroupScheme: unsigned codes, element i of
// a row at bits i*b of a little-endian stream (b = 4 or 8; q8_0's code is q + 128), and the block's
// own scale. Beside them,
//   kBiases      around the middle and with a bias (q4_1: its minimum): x = scale * code + bias.
//   Around the middle that
//                is -8 or -128 times the scale, which is exact in F16
//   kSignedCodes around the middle: x = scale * code, the codes as two's complement in the same
//   places kZeroPoints  with a point: x = scale * (code - point), b bits each as codes are, a row
//   of them in whole bytes
//   kPointStream the same without regard to rows: a row of them may begin within a byte
enum class Part : uint8_t {
  kBlocks,  // whole blocks, as the codec makes them; of every type
  kCodes,
  kSignedCodes,
  kScales,    // F16, one per block
  kScales32,  // F32
  kBiases,    // F16
  kZeroPoints,
  kPointStream,
};

bool HasPart(DType type, Part part);
// Whether this part has the codes themselves: each weight has one such place per target.
inline bool HoldsCodes(Part part) {
  return part == Part::kBlocks || part == Part::kCodes || part == Part::kSignedCodes;
}
// Bits of one code of kCodes and kSignedCodes; 0 where the type has no such part.
int CodeBits(DType type);

// Bits of one row of `cols` elements (whole blocks); whole bytes, but for kPointStream.
int64_t PartRowBits(Part part, DType type, int64_t cols);
// Bytes of that many rows, and of one.
inline int64_t PartBytes(Part part, DType type, int64_t rows, int64_t cols) {
  return (rows * PartRowBits(part, type, cols) + 7) / 8;
}
inline int64_t PartRowBytes(Part part, DType type, int64_t cols) {
  return PartBytes(part, type, 1, cols);
}

// Takes the part of `rows` encoded rows that stand one after the other. They become rows `first`
// and following of those that begin at `out`, and nothing beside them is changed.
void TakePart(Part part, DType type, const std::byte* blocks, int64_t rows, int64_t cols,
              std::byte* out, int64_t first = 0);

}  // namespace quantfleet::pipeline
