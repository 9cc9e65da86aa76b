// Which function of a set of MatrixOps multiplies which element type, by the types' own table
// (pipeline/tensor/traits.h): no set lists types.
#pragma once

#include <algorithm>
#include <array>
#include <utility>

#include "engine/kernels/matrix_ops.h"
#include "pipeline/tensor/traits.h"

namespace quantfleet::engine {

// MatrixOps' two ways for one type; null where a set has nothing better than vector_ops.h.
struct MultiplyPair {
  MultiplyRows together = nullptr, apart = nullptr;
};

// The pairs of a set of vector instructions. Set has kFloats<type>, kIntegers<block type>, and a
// block type for each BlockLayout: Q8, Nibbles<min, fifth bit>, Affine<fifth bit>, Q2, Q6, and of a
// row of kDTypes Table<row>, TableK<row> and Unpacked<row>.
template <class Set>
struct PairsByLayout {
  template <size_t kRow>  // of kDTypes
  static constexpr MultiplyPair Of() {
    using pipeline::BlockLayout;
    constexpr const pipeline::DTypeInfo& kInfo = pipeline::kDTypes[kRow];
    if constexpr (kInfo.family == pipeline::SchemeFamily::kFloat) {
      return Set::template kFloats<kInfo.type>;
    } else if constexpr (kInfo.integer_products) {
      constexpr pipeline::IntegerProducts kProducts = *kInfo.integer_products;
      if constexpr (kProducts.layout == BlockLayout::kBytes32)
        return Set::template kIntegers<typename Set::Q8>;
      else if constexpr (kProducts.layout == BlockLayout::kNibbles32)
        return Set::template kIntegers<
            typename Set::template Nibbles<kProducts.min, kProducts.fifth_bit>>;
      else if constexpr (kProducts.layout == BlockLayout::kTable32)
        return Set::template kIntegers<typename Set::template Table<kRow>>;
      else if constexpr (kProducts.layout == BlockLayout::kAffineK)
        return Set::template kIntegers<typename Set::template Affine<kProducts.fifth_bit>>;
      else if constexpr (kProducts.layout == BlockLayout::kTwoBitsK)
        return Set::template kIntegers<typename Set::Q2>;
      else if constexpr (kProducts.layout == BlockLayout::kTableK)
        return Set::template kIntegers<typename Set::template TableK<kRow>>;
      else if constexpr (kProducts.layout == BlockLayout::kSymmetricK)
        return Set::template kIntegers<typename Set::Q6>;
      else
        return Set::template kIntegers<typename Set::template Unpacked<kRow>>;
    } else {
      return {};
    }
  }
};

template <class Pairs>
MultiplyPair FindMultiply(pipeline::DType type) {
  static constexpr auto kPairs = []<size_t... kRow>(std::index_sequence<kRow...>) {
    return std::array{Pairs::template Of<kRow>()...};
  }(std::make_index_sequence<std::size(pipeline::kDTypes)>());
  const auto* const row = std::ranges::find(pipeline::kDTypes, type, &pipeline::DTypeInfo::type);
  return row == std::end(pipeline::kDTypes) ? MultiplyPair() : kPairs[row - pipeline::kDTypes];
}

// The set as MatrixOps has it.
template <class Pairs>
constexpr MatrixOps MakeMatrixOps(std::string_view name, QuantizeRow quantize) {
  return {name, quantize, [](pipeline::DType type) { return FindMultiply<Pairs>(type).together; },
          [](pipeline::DType type) { return FindMultiply<Pairs>(type).apart; }};
}

}  // namespace quantfleet::engine
