// Parts of encoded blocks, for formats that keep codes and scales apart (docs/formats/mlx.md,
// docs/formats/onnx.md, docs/formats/openvino.md): the numbers are those of the block type, only their places
// differ. Pure and thread-safe.
#pragma once

#include <cstdint>

#include "common/base/bytes.h"
#include "pipeline/tensor/dtype.h"

namespace quantfleet::pipeline {

// kCodes, kScales* and kBiases exist of q4_0, q4_1 and q8_0, and x = scale * code + bias with
//   code   unsigned, element i of a row at bits i*b of a little-endian stream (b = 4 or 8; q8_0's code is q +
//   128) scale  the block's own bias   -8 * scale (q4_0), the block's minimum (q4_1), -128 * scale (q8_0):
//   exact in F16
// kSignedCodes exist of q4_0 and q8_0: x = scale * code, the codes as two's complement in the same places.
enum class Part : uint8_t {
  kBlocks,  // whole blocks, as the codec makes them; of every type
  kCodes,
  kSignedCodes,
  kScales,    // F16, one per block
  kScales32,  // F32
  kBiases,    // F16
};

bool HasPart(DType type, Part part);
// Whether this part has the codes themselves: each weight has one such place per target.
inline bool HoldsCodes(Part part) {
  return part == Part::kBlocks || part == Part::kCodes || part == Part::kSignedCodes;
}
// Bits of one code of kCodes and kSignedCodes; 0 where the type has no such part.
int CodeBits(DType type);

// Bytes of one row of `cols` elements (whole blocks).
int64_t PartRowBytes(Part part, DType type, int64_t cols);

// Takes the part of `rows` encoded rows that stand one after the other; out holds rows * PartRowBytes.
void TakePart(Part part, DType type, const std::byte* blocks, int64_t rows, int64_t cols, std::byte* out);

}  // namespace quantfleet::pipeline
