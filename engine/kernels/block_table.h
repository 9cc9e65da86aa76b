// Which block type of a set of MatrixOps multiplies which element type: the one list for all sets.
#pragma once

#include "engine/kernels/matrix_ops.h"

namespace quantfleet::engine {

// MatrixOps' two ways for one type; null where a set has nothing better than vector_ops.h.
struct MultiplyPair {
  MultiplyRows together = nullptr, apart = nullptr;
};

// Set has kIntegers<block type>, kFloats<type>, and its block types: Q8, Nibbles<kMin, kFifthBit>
// (blocks of 32 with a scale, a min where kMin, a fifth bit per element where kFifthBit),
// Affine<kFifthBit> (Q4_K and Q5_K) and Q6.
template <class Set>
MultiplyPair FindMultiply(pipeline::DType type) {
  using pipeline::DType;
  switch (type) {
    case DType::kF32:
      return Set::template kFloats<DType::kF32>;
    case DType::kF16:
      return Set::template kFloats<DType::kF16>;
    case DType::kBF16:
      return Set::template kFloats<DType::kBF16>;
    case DType::kQ8_0:
      return Set::template kIntegers<typename Set::Q8>;
    case DType::kQ4_0:
      return Set::template kIntegers<typename Set::template Nibbles<false, false>>;
    case DType::kQ4_1:
      return Set::template kIntegers<typename Set::template Nibbles<true, false>>;
    case DType::kQ5_0:
      return Set::template kIntegers<typename Set::template Nibbles<false, true>>;
    case DType::kQ4_K:
      return Set::template kIntegers<typename Set::template Affine<false>>;
    case DType::kQ5_K:
      return Set::template kIntegers<typename Set::template Affine<true>>;
    case DType::kQ6_K:
      return Set::template kIntegers<typename Set::Q6>;
    default:
      return {};
  }
}

// The set as MatrixOps has it.
template <class Set>
constexpr MatrixOps MakeMatrixOps(std::string_view name, QuantizeRow quantize) {
  return {name, quantize, [](pipeline::DType type) { return FindMultiply<Set>(type).together; },
          [](pipeline::DType type) { return FindMultiply<Set>(type).apart; }};
}

}  // namespace quantfleet::engine
