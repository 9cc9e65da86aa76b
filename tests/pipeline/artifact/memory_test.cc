#include "pipeline/artifact/memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"

namespace quantfleet::pipeline {
namespace {

void AddCache(v1::Memory& memory, const std::string& type, uint64_t per_token,
              uint64_t window = 0) {
  v1::KvCache& cache = *memory.add_caches();
  cache.set_type(type);
  cache.set_bytes_per_token(per_token);
  cache.set_window(window);
}

// Phi-3.5-mini in Q4_0: 32 layers of 32 KV heads of 96.
v1::Memory Phi35() {
  v1::Memory memory;
  memory.set_weights_bytes(uint64_t{2} << 30);
  AddCache(memory, "f16", 2 * 32 * 32 * 96 * 2);
  AddCache(memory, "q8_0", 2 * 32 * 32 * 102);
  AddCache(memory, "f32", 2 * 32 * 32 * 96 * 4);
  memory.set_buffer_bytes(uint64_t{100} << 20);
  memory.set_buffer_bytes_per_token(128);
  memory.set_model_context(131072);
  return memory;
}

TEST(Memory, IsThatOfTheContextThatRunsAndNotOfTheLongest) {
  const auto need = NeedOf(Phi35(), 0, "");
  ASSERT_OK(need);
  EXPECT_EQ(need->context, 4096u);
  EXPECT_EQ(need->kv_type, "f16");
  EXPECT_EQ(need->cache, uint64_t{1536} << 20);
  EXPECT_EQ(need->buffers, (uint64_t{100} << 20) + 128 * 4096);
  EXPECT_EQ(need->total(), need->weights + need->cache + need->buffers);
  EXPECT_EQ(DescribeNeed(*need),
            "2.0 GiB weights + 1.5 GiB cache (4096 tokens, f16) + 100.5 MiB buffers = 3.6 GiB");
  EXPECT_EQ(NeedOf(Phi35(), 4096, "q8_0")->cache, uint64_t{816} << 20);
  EXPECT_EQ(NeedOf(Phi35(), 131072, "f32")->cache, uint64_t{96} << 30);
}

TEST(Memory, WhatTheModelOrTheRuntimeHasNotIsRefusedWithWhatThereIs) {
  EXPECT_ERROR(NeedOf(Phi35(), 131073, ""), kInvalidArgument, "131073", "131072");
  EXPECT_ERROR(NeedOf(Phi35(), 0, "q4_0"), kInvalidArgument, "q4_0", "f16, q8_0, f32");
  EXPECT_EQ(NeedOf(v1::Memory(), 0, "f16")->total(), 0u);  // a manifest that does not say
}

TEST(Memory, DefaultContextIsTheModelsOwnWhereThatIsShorter) {
  v1::Memory memory = Phi35();
  memory.set_model_context(2048);
  EXPECT_EQ(DefaultContext(memory), 2048u);
  EXPECT_EQ(NeedOf(memory, 0, "")->context, 2048u);
}

TEST(Memory, LongestContextIsWhatFitsAndNoMore) {
  const v1::Memory memory = Phi35();
  for (const uint64_t gib : {3, 4, 8, 16}) {
    const uint64_t bytes = gib << 30;
    const uint64_t most = LargestContext(memory, "f16", bytes, 131072);
    ASSERT_GT(most, 0u);
    EXPECT_EQ(most % 256, 0u);
    EXPECT_LE(NeedOf(memory, most, "f16")->total(), bytes);
    EXPECT_GT(NeedOf(memory, most + 256, "f16")->total(), bytes);
    EXPECT_GE(LargestContext(memory, "q8_0", bytes, 131072), most);
  }
  EXPECT_EQ(LargestContext(memory, "f16", uint64_t{2} << 30, 4096), 0u);
  EXPECT_EQ(LargestContext(memory, "f16", uint64_t{64} << 30, 4096), 4096u);
  EXPECT_EQ(LargestContext(memory, "f16", uint64_t{1} << 60, uint64_t{1} << 40),
            131072u);  // the model's own
  EXPECT_EQ(LargestContext(memory, "", NeedOf(memory, 100, "")->total(), 4096), 100u);
}

v1::ContextPolicy Wish(uint64_t tokens, uint64_t min_tokens = 0) {
  v1::ContextPolicy wish;
  wish.set_tokens(tokens);
  wish.set_min_tokens(min_tokens);
  return wish;
}

TEST(Memory, RoundingDoesNotTakeAwayWhatIsEnough) {
  const v1::Memory memory = Phi35();
  const uint64_t bytes = NeedOf(memory, 1010, "f16")->total();
  EXPECT_EQ(FitContext(memory, Wish(4096, 1000), bytes)->context, 1000u);
  EXPECT_EQ(FitContext(memory, Wish(4096, 512), bytes)->context, 768u);
  EXPECT_EQ(FitContext(memory, Wish(1010), bytes)->context, 1010u);
  EXPECT_ERROR(FitContext(memory, Wish(4096, 1011), bytes), kResourceExhausted, "768");
}

TEST(Memory, WindowsShortenTheCacheOfTheirLayers) {
  v1::Memory memory;
  AddCache(memory, "f16", 1000, 512);  // five layers of six look back 512 tokens
  AddCache(memory, "f16", 200);
  memory.set_model_context(32768);
  EXPECT_EQ(NeedOf(memory, 256, "")->cache, 256u * 1200);
  EXPECT_EQ(NeedOf(memory, 8192, "")->cache, 512u * 1000 + 8192u * 200);
  EXPECT_EQ(LargestContext(memory, "", 512u * 1000 + 8192u * 200, 32768), 8192u);
}

TEST(Memory, NumbersFromOutsideDoNotWrapAround) {
  v1::Memory memory;
  memory.set_weights_bytes(~uint64_t{0} - 5);
  AddCache(memory, "f16", ~uint64_t{0});
  memory.set_buffer_bytes_per_token(~uint64_t{0});
  EXPECT_EQ(NeedOf(memory, 0, "")->total(), ~uint64_t{0});
  EXPECT_EQ(LargestContext(memory, "f16", uint64_t{1} << 40, ~uint64_t{0}), 0u);
}

// An artifact of version 0.1: one sum, for a context that it does not name.
v1::Manifest Older(uint64_t weights, uint64_t memory_bytes, uint64_t parameters) {
  v1::Manifest manifest;
  v1::ArtifactFile& file = *manifest.add_files();
  file.set_path("model.gguf");
  file.set_size(weights);
  manifest.mutable_source()->set_parameters(parameters);
  manifest.mutable_requirements()->set_memory_bytes(memory_bytes);
  return manifest;
}

TEST(Memory, ManifestsFromBeforeAreCountedSensibly) {
  // Phi-3.5-mini: 50 GiB then, for 131072 tokens of F16.
  const uint64_t weights = 2'176'000'000, cache = 393'216;
  const v1::Memory phi = MemoryOf(Older(weights, weights + 131072 * cache, 3'821'079'552));
  const auto need = NeedOf(phi, 0, "");
  ASSERT_OK(need);
  EXPECT_EQ(need->weights, weights);
  EXPECT_GE(need->cache, 4096 * cache);            // no less than it is
  EXPECT_LE(need->cache, 4096 * cache * 13 / 10);  // and not much more
  EXPECT_EQ(NeedOf(phi, 0, "f32")->cache / 1000, 2 * need->cache / 1000);
  EXPECT_LT(NeedOf(phi, 0, "q8_0")->cache, need->cache * 6 / 10);
  // What was said for the whole context is never exceeded.
  const v1::Memory small = MemoryOf(Older(8'000'000, 9'000'000, 4'200'000));
  EXPECT_LE(NeedOf(small, 1'000'000, "f16")->total(), 9'000'000u);
  EXPECT_EQ(NeedOf(MemoryOf(Older(5, 1'000'000, 0)), 0, "")->total(), 1'000'000u);
  // A program, or one that says nothing.
  EXPECT_EQ(MemoryOf(Older(100, 0, 1)).caches_size(), 0);
}

}  // namespace
}  // namespace quantfleet::pipeline
