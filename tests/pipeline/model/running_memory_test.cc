#include "pipeline/model/running_memory.h"

#include <gtest/gtest.h>

namespace quantfleet::pipeline {
namespace {

// Phi-3-mini.
const Hyperparameters kPhi3 = [] {
  Hyperparameters h;
  h.hidden = 3072, h.intermediate = 8192, h.layers = 32, h.heads = 32, h.kv_heads = 32,
  h.head_dim = 96, h.rope_dims = 96;
  h.vocab = 32064, h.context = 131072, h.original_context = 4096;
  return h;
}();

TEST(RunningMemory, BytesOfACache) {
  EXPECT_EQ(CacheRowBytes(DType::kF32, 96), 384);
  EXPECT_EQ(CacheRowBytes(DType::kF16, 96), 192);
  EXPECT_EQ(CacheRowBytes(DType::kQ8_0, 96), 102);
  EXPECT_EQ(CacheRowBytes(DType::kQ8_0, 80), 102);  // the last block is filled up
  EXPECT_EQ(CacheBytesPerToken(kPhi3, DType::kF16), 2 * 32 * 32 * 192);
  for (const DType type : kCacheTypes) {
    EXPECT_TRUE(IsCacheType(type));
    EXPECT_TRUE(IsCacheTypeName(Info(type).name));
  }
  for (const DType type : {DType::kBF16, DType::kQ4_0, DType::kQ4_K})
    EXPECT_FALSE(IsCacheType(type) || IsCacheTypeName(Info(type).name));
  EXPECT_FALSE(IsCacheTypeName("F16"));  // classes are written as manifests are
  EXPECT_EQ(kCacheTypes.front(), DType::kF16);
  EXPECT_EQ(CacheTypeNames(), "f16, q8_0 or f32");
  EXPECT_EQ(CacheTypeNames("|", "|"), "f16|q8_0|f32");
}

TEST(RunningMemory, BuffersAreSmallAndNoSquareOfTheContext) {
  const EngineBuffers buffers = BuffersOf(kPhi3);
  EXPECT_LT(buffers.fixed + buffers.per_token * 131072, uint64_t{64} << 20);
  EXPECT_GT(buffers.fixed, static_cast<uint64_t>(4 * kPhi3.vocab));
}

}  // namespace
}  // namespace quantfleet::pipeline
