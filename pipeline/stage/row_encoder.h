// Rows of values as blocks of a type, by whatever rounding was chosen for their piece. Plain
// values; what they point to must outlive them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "pipeline/tensor/codec.h"
#include "pipeline/tensor/rounding/rounder.h"

namespace quantfleet::pipeline {

struct RowEncoder {
  const Codec* codec;
  const BlockGrid* grid = nullptr;       // what the rounder rounds to; null: the codec does
  const float* importance = nullptr;     // of the columns; null: all alike
  const ColumnFactor* factor = nullptr;  // null: no error is fed back

  // `out` takes rows * RowBytes(codec->type, cols) bytes. Rows are encoded each for itself.
  void Encode(Rounder& rounder, const float* values, int64_t rows, int64_t cols,
              std::byte* out) const {
    if (grid != nullptr && importance != nullptr)
      rounder.Search(*grid, values, rows, cols, importance, out);
    else
      codec->encode(values, rows, cols, importance, out);
    if (grid != nullptr && factor != nullptr)
      rounder.FeedBack(*grid, *factor, values, rows, cols, out);
  }
};

}  // namespace quantfleet::pipeline
