// Q5_K: 256 elements in 176 bytes: header (affine_k.h), 32 bytes of fifth bits, then 128 bytes of
// low nibbles; codes in 0..31.
#include "pipeline/tensor/affine_k.h"
#include "pipeline/tensor/block_codec.h"

namespace quantfleet::pipeline {
namespace {

constexpr int kNibbles = kAffineKHeader + kSubBlock;

struct Q5_K {
  static constexpr DType kType = DType::kQ5_K;
  static constexpr int kElements = kSuperBlock, kBytes = 176;

  static void Pack(const AffineKHeader& header, const uint8_t* codes, std::byte* block) {
    StoreHeader(header, block);
    PackFifthBitsK(codes, block + kAffineKHeader);
    PackNibblesK(codes, block + kNibbles);
  }

  static void Encode(const float* x, std::byte* block) {
    uint8_t codes[kElements];
    Pack(EncodeAffineK(x, kQ5_KSearch, codes), codes, block);
  }

  static void EncodeWeighted(const float* x, const float* importance, float, std::byte* block) {
    uint8_t codes[kElements];
    Pack(EncodeAffineKWeighted(x, importance, kQ5_KSearch.levels, codes), codes, block);
  }

  static void Decode(const std::byte* block, float* x) {
    uint8_t codes[kElements];
    UnpackNibblesK(block + kNibbles, codes);
    UnpackFifthBitsK(block + kAffineKHeader, codes);
    DecodeAffineK(LoadHeader(block), codes, x);
  }
};

}  // namespace

const Codec kQ5_KCodec = MakeCodec<Q5_K>();

}  // namespace quantfleet::pipeline
