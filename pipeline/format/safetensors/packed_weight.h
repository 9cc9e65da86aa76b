// A weight whose checkpoint keeps its codes, scales and zero points apart, as blocks of one of our
// types where one has exactly these numbers, or as the F32 values that they stand for. Rows are
// read and decoded on demand. Immutable and thread-safe.
#pragma once

#include <array>
#include <optional>
#include <vector>

#include "pipeline/format/safetensors/packed_matrix.h"
#include "pipeline/tensor/dtype.h"

namespace quantfleet::pipeline {

using CodeValues = std::array<float, 256>;  // by code
const CodeValues& UnsignedCodes();          // u
const CodeValues& MiddleCodes(int bits);    // u - 2^(bits - 1)
const CodeValues& OneMoreCodes(int bits);  // u + 1 modulo 2^bits: how GPTQ's files have zero points
const CodeValues& SignedBytes();           // two's complement
const CodeValues& E4M3Codes();             // OCP's FP8 without infinities; 0x7f and 0xff are NaN
const CodeValues& E5M2Codes();
const CodeValues& E2M1Codes();  // FP4

// x = scale * (values[code] - point) + bias, each product and each sum of what stands in the files
// rounded once, to F32. Scales, points and biases are shared by `scale_rows` rows and by the
// columns of a group.
struct PackedWeight {
  int64_t rows = 0, cols = 0;
  int64_t matrices = 1;  // of experts, one upon the other: rows are those of all
  bool turned = false;   // every part has a column in the file for each row of the weight
  CodeMatrix codes = {};
  const CodeValues* values = nullptr;
  FloatMatrix scales = {};
  int64_t scale_rows = 1;
  int64_t group = 0;                    // columns; the last may be shorter
  std::vector<uint32_t> group_of = {};  // by column; empty: column / group
  std::optional<CodeMatrix> points = {};
  const CodeValues* point_values = nullptr;
  std::optional<FloatMatrix> biases = {};

  int64_t groups() const { return (cols + group - 1) / group; }
  // F32, or the type whose blocks hold these codes and scales as they are.
  DType Type() const;
  // Bytes [offset, offset + out.size()) of the weight in `type`, which is Type().
  absl::Status Read(DType type, uint64_t offset, MutableBytes out) const;
};

// Memory that one Read of any weight needs for a while.
inline constexpr uint64_t kPackedScratchBytes = uint64_t{8} << 20;

}  // namespace quantfleet::pipeline
