// Finite values that a target's half-precision numbers cannot hold: they would silently become
// infinity. Pure.
#pragma once

#include <algorithm>
#include <cmath>

#include "common/base/bytes.h"
#include "pipeline/tensor/dtype.h"
#include "pipeline/tensor/half.h"
#include "pipeline/tensor/part.h"

namespace quantfleet::pipeline {

// Index of the first element (of its block, where elements share a scale) whose half-precision
// number is infinite or NaN, or -1. `encoded` holds rows of `cols` elements made of finite values.
inline int64_t FindHalfOverflow(DType type, int64_t cols, ByteSpan encoded) {
  const HalfPlaces& halves = Info(type).halves;
  if (halves.count == 0) return -1;
  const size_t step = static_cast<size_t>(BlockBytes(type, cols));
  for (size_t block = 0; block < encoded.size(); block += step)
    for (int h = 0; h < halves.count; ++h)
      if ((Load<uint16_t>(encoded.data() + block + halves.at[h]) & 0x7c00) == 0x7c00)
        return static_cast<int64_t>(block / step) * BlockElements(type, cols);
  return -1;
}

// The same for a runtime that multiplies codes (less their zero point, if they have one) by F16
// scales in half precision: the first element of a block whose largest product may not be a finite
// F16, or -1. `type` has scales.
inline int64_t FindProductOverflow(DType type, int64_t cols, ByteSpan encoded) {
  const bool wide = CodeBits(type) == 8, has_point = HasPart(type, Part::kZeroPoints);
  const int levels = wide ? 255 : 15;
  int largest_code =
      HasPart(type, Part::kSignedCodes) ? (wide ? 127 : 8) : levels;  // each block has one of these
  const size_t step = static_cast<size_t>(BlockBytes(type, cols));
  for (size_t block = 0; block < encoded.size(); block += step) {
    if (has_point) {
      const int point = Load<uint8_t>(encoded.data() + block + 2);
      largest_code = std::max(point, levels - point);
    }
    const float scale = HalfToFloat(Load<uint16_t>(encoded.data() + block));
    if (std::abs(scale) * static_cast<float>(largest_code) > 65504.f)
      return static_cast<int64_t>(block / step) * BlockElements(type, cols);
  }
  return -1;
}

}  // namespace quantfleet::pipeline
