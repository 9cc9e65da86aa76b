#include "pipeline/model/running_memory.h"

#include <gtest/gtest.h>

namespace quantfleet::pipeline {
namespace {

// Phi-3-mini.
const Hyperparameters kPhi3 = [] {
  Hyperparameters h;
  h.hidden = 3072, h.intermediate = 8192, h.layers = 32, h.heads = 32, h.kv_heads = 32, h.head_dim = 96, h.rope_dims = 96;
  h.vocab = 32064, h.context = 131072, h.original_context = 4096;
  return h;
}();

TEST(RunningMemory, BytesOfACache) {
  EXPECT_EQ(CacheRowBytes(DType::kF32, 96), 384);
  EXPECT_EQ(CacheRowBytes(DType::kF16, 96), 192);
  EXPECT_EQ(CacheRowBytes(DType::kQ8_0, 96), 102);
  EXPECT_EQ(CacheRowBytes(DType::kQ8_0, 80), 102);  // the last block is filled up
  EXPECT_EQ(CacheBytesPerToken(kPhi3, DType::kF16), 2 * 32 * 32 * 192);
  for (const DType type : {DType::kF32, DType::kF16, DType::kQ8_0}) EXPECT_TRUE(IsCacheType(type));
  for (const DType type : {DType::kBF16, DType::kQ4_0, DType::kQ4_K}) EXPECT_FALSE(IsCacheType(type));
}

TEST(RunningMemory, BuffersAreAStraightLineOfTheContext) {
  const uint64_t one = BufferBytes(kPhi3, 1), two = BufferBytes(kPhi3, 2), many = BufferBytes(kPhi3, 131072);
  EXPECT_EQ(many - one, 131071 * (two - one));
  EXPECT_LT(many, uint64_t{64} << 20);
}

TEST(RunningMemory, TheLargestContextFitsAndTheNextDoesNot) {
  for (const DType type : {DType::kF32, DType::kF16, DType::kQ8_0}) {
    for (const uint64_t available : {uint64_t{100} << 20, uint64_t{2} << 30, uint64_t{8} << 30}) {
      const int64_t largest = LargestContext(kPhi3, type, available);
      const auto needs = [&](int64_t context) {
        return BufferBytes(kPhi3, context) + static_cast<uint64_t>(context * CacheBytesPerToken(kPhi3, type));
      };
      EXPECT_GT(largest, 0);
      EXPECT_LE(needs(largest), available);
      EXPECT_GT(needs(largest + 1), available);
    }
    EXPECT_EQ(LargestContext(kPhi3, type, 0), 0);
    EXPECT_EQ(LargestContext(kPhi3, type, BufferBytes(kPhi3, 0)), 0);
    EXPECT_EQ(LargestContext(kPhi3, type, uint64_t{1} << 50), kPhi3.context);
  }
}

}  // namespace
}  // namespace quantfleet::pipeline
