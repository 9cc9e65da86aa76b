#include "pipeline/model/running_memory.h"

#include <gtest/gtest.h>

#include "pipeline/model/memory_terms.h"

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

// Gemma 3 270M: 15 of 18 layers see 512 positions.
TEST(RunningMemory, LayersWithAWindowKeepThatAndAPass) {
  Hyperparameters h;
  h.hidden = 640, h.intermediate = 2048, h.layers = 18, h.heads = 4, h.kv_heads = 1;
  h.head_dim = h.rope_dims = 256;
  h.vocab = 262144, h.context = h.original_context = 32768;
  h.sliding_window = 512, h.full_every = 6;
  EXPECT_EQ(CacheRows(h, 0, 32768), 512 + 128);
  EXPECT_EQ(CacheRows(h, 5, 32768), 32768);
  EXPECT_EQ(CacheRows(h, 0, 100), 100);
  EXPECT_EQ(CacheBytes(h, DType::kF16, 32768), (15 * 640 + 3 * 32768) * 1024);
  const v1::Memory memory = EngineMemory(h, 7);
  ASSERT_EQ(memory.caches_size(), 6) << "two kinds of layers of three types";
  EXPECT_EQ(memory.caches(0).type(), "f16");
  EXPECT_EQ(memory.caches(0).bytes_per_token(), 3 * 1024u);
  EXPECT_EQ(memory.caches(0).window(), 0u);
  EXPECT_EQ(memory.caches(1).type(), "f16");
  EXPECT_EQ(memory.caches(1).bytes_per_token(), 15 * 1024u);
  EXPECT_EQ(memory.caches(1).window(), 640u);
  EXPECT_EQ(memory.caches(2).type(), "q8_0");
  // MLX keeps the window alone, the others everything.
  const v1::Memory mlx = RuntimeMemory(h, 7, DType::kBF16, /*window_only=*/true);
  ASSERT_EQ(mlx.caches_size(), 2);
  EXPECT_EQ(mlx.caches(1).window(), 512u);
  const v1::Memory onnx = RuntimeMemory(h, 7, DType::kF16);
  ASSERT_EQ(onnx.caches_size(), 1);
  EXPECT_EQ(onnx.caches(0).bytes_per_token(), 18 * 1024u);
}

TEST(RunningMemory, BuffersAreSmallAndNoSquareOfTheContext) {
  const EngineBuffers buffers = BuffersOf(kPhi3);
  EXPECT_LT(buffers.fixed + buffers.per_token * 131072, uint64_t{64} << 20);
  EXPECT_GT(buffers.fixed, static_cast<uint64_t>(4 * kPhi3.vocab));
}

}  // namespace
}  // namespace quantfleet::pipeline
