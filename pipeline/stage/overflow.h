// Finite values that a target's half-precision numbers cannot hold: they would become infinity in
// silence. Pure.
#pragma once

#include <algorithm>
#include <cmath>

#include "common/base/bytes.h"
#include "pipeline/tensor/dtype.h"
#include "pipeline/tensor/half.h"
#include "pipeline/tensor/part.h"

namespace quantfleet::pipeline {

// Where a block's half-precision numbers stand: F16 itself, scales and minimums.
struct HalfPlaces {
  int count;
  size_t at[2];
};
inline HalfPlaces HalvesOf(DType type) {
  switch (type) {
    case DType::kF16:
    case DType::kQ4_0:
    case DType::kQ5_0:
    case DType::kQ8_0:
      return {1, {0, 0}};
    case DType::kQ4_1:
    case DType::kQ5_1:
    case DType::kQ4_K:
    case DType::kQ5_K:
      return {2, {0, 2}};
    case DType::kQ6_K:
      return {1, {208, 0}};
    default:
      break;
  }
  const std::optional<GroupScheme> scheme = GroupSchemeOf(type);
  if (!scheme) return {0, {0, 0}};
  return scheme->zero == GroupZero::kBias ? HalfPlaces{2, {0, 2}} : HalfPlaces{1, {0, 0}};
}

// Index of the first element (of its block, where elements share a scale) whose half-precision
// number is infinite or NaN, or -1. `encoded` holds whole blocks made of finite values.
inline int64_t FindHalfOverflow(DType type, ByteSpan encoded) {
  const HalfPlaces halves = HalvesOf(type);
  if (halves.count == 0) return -1;
  const size_t step = static_cast<size_t>(Info(type).block_bytes);
  for (size_t block = 0; block < encoded.size(); block += step)
    for (int h = 0; h < halves.count; ++h)
      if ((Load<uint16_t>(encoded.data() + block + halves.at[h]) & 0x7c00) == 0x7c00)
        return static_cast<int64_t>(block / step) * Info(type).block_elements;
  return -1;
}

// The same for who has F16 scales and multiplies codes (less their zero point, where they have one)
// by them in half precision: the first element of a block whose largest product may be no finite
// F16, or -1. `type` has scales.
inline int64_t FindProductOverflow(DType type, ByteSpan encoded) {
  const bool wide = CodeBits(type) == 8, has_point = HasPart(type, Part::kZeroPoints);
  const int levels = wide ? 255 : 15;
  int largest_code =
      HasPart(type, Part::kSignedCodes) ? (wide ? 127 : 8) : levels;  // each block has one of these
  const size_t step = static_cast<size_t>(Info(type).block_bytes);
  for (size_t block = 0; block < encoded.size(); block += step) {
    if (has_point) {
      const int point = Load<uint8_t>(encoded.data() + block + 2);
      largest_code = std::max(point, levels - point);
    }
    const float scale = HalfToFloat(Load<uint16_t>(encoded.data() + block));
    if (std::abs(scale) * static_cast<float>(largest_code) > 65504.f)
      return static_cast<int64_t>(block / step) * Info(type).block_elements;
  }
  return -1;
}

}  // namespace quantfleet::pipeline
