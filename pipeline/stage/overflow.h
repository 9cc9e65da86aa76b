// Finite values that a target's half-precision numbers cannot hold: they would become infinity in silence.
// Pure.
#pragma once

#include "common/base/bytes.h"
#include "pipeline/tensor/dtype.h"

namespace quantfleet::pipeline {

// Index of the first element (of its block, where elements share a scale) whose half-precision number is
// infinite, or -1. `encoded` holds whole blocks made of finite values.
inline int64_t FindHalfOverflow(DType type, ByteSpan encoded) {
  switch (type) {
    case DType::kF16:
    case DType::kQ4_0:
    case DType::kQ4_1:
    case DType::kQ5_0:
    case DType::kQ5_1:
    case DType::kQ8_0:
      break;  // F16 itself, or blocks that begin with their scale in F16
    default:
      return -1;
  }
  const size_t step = static_cast<size_t>(Info(type).block_bytes);
  for (size_t at = 0; at < encoded.size(); at += step)
    if ((Load<uint16_t>(encoded.data() + at) & 0x7c00) == 0x7c00)
      return static_cast<int64_t>(at / step) * Info(type).block_elements;
  return -1;
}

}  // namespace quantfleet::pipeline
