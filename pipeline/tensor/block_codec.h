// Makes a Codec of a block type's three functions. A block type B says
//   kType, kElements, kBytes
//   static void Encode(const float* x, std::byte* block);
//   static void EncodeWeighted(const float* x, const float* importance, float row_mean_square,
//   std::byte* block); static void Decode(const std::byte* block, float* x);
// EncodeWeighted is left out by types that ignore importance, and both by types that are never
// made. In place of Decode it may say
//   static void Unpack(const std::byte* block, UnpackedBlock& out);
#pragma once

#include "pipeline/tensor/codecs.h"
#include "pipeline/tensor/partial_sums.h"
#include "pipeline/tensor/unpacked.h"

namespace quantfleet::pipeline {

// Mean of x squared over one row, added in order, as the reference weighs the blocks of 32.
inline float MeanSquare(const float* x, int64_t n) {
  float sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += x[i] * x[i];
  return sum / static_cast<float>(n);
}

template <class B>
concept Encodable = requires(const float* x, std::byte* block) { B::Encode(x, block); };

template <class B>
concept Weighable =
    requires(const float* x, std::byte* block) { B::EncodeWeighted(x, x, 0.f, block); };

template <class B>
concept Unpackable =
    requires(const std::byte* block, UnpackedBlock& out) { B::Unpack(block, out); };

template <class B>
void DecodeBlock(const std::byte* block, float* x) {
  if constexpr (Unpackable<B>) {
    static_assert(B::kElements == UnpackedBlock::kElements);
    UnpackedBlock unpacked;
    B::Unpack(block, unpacked);
    unpacked.Decode(x);
  } else {
    B::Decode(block, x);
  }
}

template <class B>
void EncodeBlocks(const float* values, int64_t rows, int64_t cols, const float* importance,
                  std::byte* out) {
  const int64_t row_blocks = cols / B::kElements;
  if constexpr (Weighable<B>) {
    if (importance != nullptr) {
      for (int64_t r = 0; r < rows; ++r) {
        const float* row = values + r * cols;
        const float mean_square = B::kElements == 32 ? MeanSquare(row, cols) : 0.f;
        for (int64_t b = 0; b < row_blocks; ++b, out += B::kBytes)
          B::EncodeWeighted(row + b * B::kElements, importance + b * B::kElements, mean_square,
                            out);
      }
      return;
    }
  }
  for (int64_t b = 0; b < rows * row_blocks; ++b)
    B::Encode(values + b * B::kElements, out + b * B::kBytes);
}

template <class B>
void DecodeBlocks(const std::byte* blocks, int64_t n, float* out) {
  for (int64_t b = 0; b < n / B::kElements; ++b)
    DecodeBlock<B>(blocks + b * B::kBytes, out + b * B::kElements);
}

template <class B>
float DotBlocks(const std::byte* blocks, const float* x, int64_t n) {
  PartialSums sums;
  for (int64_t b = 0; b < n / B::kElements; ++b) {
    float decoded[B::kElements];
    DecodeBlock<B>(blocks + b * B::kBytes, decoded);
    sums.Add(decoded, x + b * B::kElements, B::kElements);
  }
  return sums.Total();
}

template <class B>
constexpr Codec MakeCodec() {
  Codec codec = {B::kType, nullptr, DecodeBlocks<B>, DotBlocks<B>};
  if constexpr (Encodable<B>) codec.encode = EncodeBlocks<B>;
  if constexpr (Unpackable<B>) codec.unpack = B::Unpack;
  return codec;
}

}  // namespace quantfleet::pipeline
