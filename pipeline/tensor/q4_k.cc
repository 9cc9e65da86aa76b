// Q4_K: 256 elements in 144 bytes: header (affine_k.h), then 128 bytes of codes in 0..15.
#include "pipeline/tensor/affine_k.h"
#include "pipeline/tensor/block_codec.h"

namespace quantfleet::pipeline {
namespace {

struct Q4_K {
  static constexpr DType kType = DType::kQ4_K;
  static constexpr int kElements = kSuperBlock, kBytes = 144;

  static void Encode(const float* x, std::byte* block) {
    uint8_t codes[kElements];
    StoreHeader(EncodeAffineK(x, kQ4_KSearch, codes), block);
    PackNibblesK(codes, block + kAffineKHeader);
  }

  static void EncodeWeighted(const float* x, const float* importance, float, std::byte* block) {
    uint8_t codes[kElements];
    StoreHeader(EncodeAffineKWeighted(x, importance, kQ4_KSearch.levels, codes), block);
    PackNibblesK(codes, block + kAffineKHeader);
  }

  static void Decode(const std::byte* block, float* x) {
    uint8_t codes[kElements];
    UnpackNibblesK(block + kAffineKHeader, codes);
    DecodeAffineK(LoadHeader(block), codes, x);
  }
};

}  // namespace

const Codec kQ4_KCodec = MakeCodec<Q4_K>();

}  // namespace quantfleet::pipeline
