// What the codes of a block can stand for once its scales are known, type by type: all that
// rounding needs of a type to choose codes otherwise than its codec does. Pure and thread-safe.
#pragma once

#include <cstdint>

#include "common/base/bytes.h"
#include "pipeline/tensor/table_codes.h"
#include "pipeline/tensor/traits.h"

namespace quantfleet::pipeline {

// The value of a code is scale * code + offset, or scale * table[code] + offset.
struct CodeGrid {
  float scale, offset;
};

// How the scale of a group and its zero are found, and where the block has them.
enum class GridSearch : uint8_t {
  kPacked,  // a super-block has them all, packed: as the type's codec finds them, or near that
  kMiddle,  // an F16 at its beginning; codes around 0
  kTable,   // the same, codes are places in the table
  kPoint,   // the F16, then a byte: the code of 0
  kBias,    // two F16: x = scale * code + bias
};

// The whole numbers by which a group multiplies what its super-block shares.
struct GroupScale {
  int scale, min;  // min: 0 where the type has none
};
struct PackedScales {
  int lowest, highest;  // of a scale
  int highest_min;      // 0: the type has none
  // What a scale and a min multiply: together they are a group's CodeGrid.
  CodeGrid (*unit)(const std::byte* block);
  // Of all groups.
  void (*load)(const std::byte* block, GroupScale* out);
  void (*store)(const GroupScale* scales, std::byte* block);
};

struct BlockGrid {
  DType type;
  int64_t elements;  // of a block; 0: a row is one (SchemeFamily::kRow)
  int64_t group;     // those that share a CodeGrid; divides `elements`; 0: a row does
  int low, high;     // of the codes that CodeGrid speaks of
  GridSearch search;
  const CodeTable* table = nullptr;  // rising values; codes are 0 .. 15
  // The grids of a block's groups: elements / group of them.
  void (*grids)(const std::byte* block, CodeGrid* out);
  // Replaces a block's codes, given less `low`; its scales stay.
  void (*write)(const uint8_t* codes, std::byte* block);
  const PackedScales* packed = nullptr;  // of kPacked
  // In place of `write` where a block is a row, which has so many elements.
  void (*write_row)(const uint8_t* codes, int64_t elements, std::byte* block) = nullptr;
};

// Null: floats, MXFP4, whose scales are powers of two, and types that are never made.
const BlockGrid* FindBlockGrid(DType type);

}  // namespace quantfleet::pipeline
