// Rows of codes whose scales, and zero points or biases, lie apart, back to F32: what runtimes of
// such formats widen before they multiply. The way back from part.h's parts; any group size does.
// Pure and thread-safe.
#pragma once

#include <cstdint>

#include "common/base/bytes.h"
#include "pipeline/tensor/dtype.h"

namespace quantfleet::pipeline {

// How one row lies. Codes and zero points are streams of `bits` each, the lower half of a byte
// first; every row of either begins on a whole byte, but for points that are one stream.
struct CodeRows {
  int bits;          // 4 or 8
  bool is_signed;    // two's complement, whose zero is 0; unsigned ones without a point have theirs
                     // in the middle
  bool wide_scales;  // F32, else F16
  GroupZero zero;    // kPoint: of as many bits as codes; kBias: F16
  int64_t group;     // elements that share a scale; divides cols, even where bits are 4
  int64_t cols;
  bool point_stream = false;  // points of all rows follow one another without regard to bytes

  int64_t groups() const { return cols / group; }
  int64_t code_bytes() const { return cols * bits / 8; }
  int64_t scale_bytes() const { return groups() * (wide_scales ? 4 : 2); }
  int64_t zero_bits() const {
    if (zero != GroupZero::kPoint) return zero == GroupZero::kBias ? 16 * groups() : 0;
    return point_stream ? groups() * bits : (groups() * bits + 7) / 8 * 8;
  }
};

// x = scale * (code - zero), or scale * code + bias, in F32, of rows `first` and following. Each
// pointer is to the byte in which row `first` begins; `zeros` is not read of a scheme that has
// none. `out` holds rows * cols.
void DecodeCodeRows(const CodeRows& as, const std::byte* codes, const std::byte* scales,
                    const std::byte* zeros, int64_t first, int64_t rows, float* out);

}  // namespace quantfleet::pipeline
