// Matrices as quantized checkpoints lay them out (docs/formats/safetensors.md): codes of up to
// eight bits, packed into bytes or words along rows or down columns, and small floats. Rectangles
// of them are read; nothing is kept. Pure but for the file.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "common/base/file.h"

namespace quantfleet::pipeline {

// Codes: integers of `bits` bits, the first in the lowest bits, without gaps; one may begin in one
// word and end in the next.
struct CodeMatrix {
  enum class Packing {
    kAlongRows,  // each row of the file is its row's codes one after the other
    kAwq,  // the same in words of eight, of which nibble i has code 0, 2, 4, 6, 1, 3, 5, 7 [i]
    kDownColumns,  // word w of a column has codes from 32 w / bits on: the file's rows are of words
  };
  const File* file = nullptr;
  uint64_t offset = 0;
  int bits = 8;  // 1 to 8
  Packing packing = Packing::kAlongRows;
  int64_t height = 0, width = 0;  // in codes
  int64_t line_bytes = 0;         // of one row of the file

  int64_t lines() const;  // rows of the file
  uint64_t bytes() const { return static_cast<uint64_t>(lines() * line_bytes); }
  // Codes of rows [row, row + rows) and columns [col, col + cols), which lie inside: out[r * cols +
  // c], or out[c * rows + r] if `turned`.
  absl::Status Read(int64_t row, int64_t rows, int64_t col, int64_t cols, bool turned,
                    std::vector<uint8_t>& out) const;
};

// Scales and biases: floats one after the other, row by row.
struct FloatMatrix {
  enum class Type { kF32, kF16, kBF16, kE8M0 };
  const File* file = nullptr;
  uint64_t offset = 0;
  Type type = Type::kF32;
  int64_t height = 0, width = 0;

  // As CodeMatrix::Read.
  absl::Status Read(int64_t row, int64_t rows, int64_t col, int64_t cols, bool turned,
                    std::vector<float>& out) const;
};

// "BF16", "U8" (E8M0); nullopt: a type that no checkpoint has scales in.
std::optional<FloatMatrix::Type> FloatTypeOf(std::string_view safetensors_dtype);

}  // namespace quantfleet::pipeline
