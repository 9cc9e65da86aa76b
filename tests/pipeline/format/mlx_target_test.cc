// Shards, and what only a planner sees; that the numbers are right is judged in
// tests/e2e/test_mlx.py.
#include "pipeline/format/mlx/mlx_target.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "pipeline/format/safetensors/hf_source.h"
#include "tests/pipeline/format/demo_layout.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_model.h"

namespace quantfleet::pipeline {
namespace {

TEST(MlxTarget, ShardsEndBeforeTheLimitAndKeepAWeightTogether) {
  const auto source = OpenDemo();
  constexpr uint64_t kLimit = 400'000;
  const auto layout = PlanMlx(*source, *FindRecipe("int4"), kLimit);
  ASSERT_OK(layout);
  size_t shards = 0;
  for (const OutputFile& file : layout->files) {
    if (!file.path.starts_with("model-")) continue;
    ++shards;
    EXPECT_LE(file.size, std::max<uint64_t>(kLimit, 589'824) + file.fixed[0].bytes.size())
        << file.path;
  }
  EXPECT_GT(shards, 4u);
  EXPECT_EQ(FileOf(*layout, fmt::format("model-{0:05}-of-{0:05}.safetensors", shards)).fixed.size(),
            1u);
  // The codes, scales and biases of a weight are in one file.
  std::map<std::string, std::set<uint32_t>> files;
  for (const PlacedPiece& placed : layout->pieces) files[placed.tensor].insert(placed.file);
  for (const auto& [tensor, in] : files) EXPECT_EQ(in.size(), 1u) << tensor;
}

TEST(MlxTarget, OneShardIsCalledModel) {
  const auto layout = PlanMlx(*OpenDemo(), *FindRecipe("bf16"));
  ASSERT_OK(layout);
  EXPECT_GT(FileOf(*layout, "model.safetensors").size, 7'900'000u);
  EXPECT_EQ(FileOf(*layout, "config.json").fixed[0].bytes.find("quantization"), std::string::npos);
}

// -asym is what each runtime makes of it; a type that somebody named is taken at its word.
TEST(MlxTarget, AsymmetricGroupsHaveABias) {
  const auto source = OpenDemo();
  const auto layout = PlanMlx(*source, *FindRecipe("int4-g64-asym"));
  ASSERT_OK(layout);
  const DType four = GroupType({4, 64, GroupZero::kBias}),
              eight = GroupType({8, 64, GroupZero::kBias});
  for (const PlacedPiece& placed : layout->pieces) {
    if (placed.part == Part::kBlocks) continue;  // a norm
    EXPECT_EQ(placed.dtype, placed.tensor == "lm_head.weight" ? eight : four) << placed.tensor;
  }
  Recipe own{.name = "mine", .body = GroupType({4, 64, GroupZero::kPoint}), .head = DType::kQ8_0};
  EXPECT_ERROR(PlanMlx(*source, own), kInvalidArgument, "u4_g64");
}

// A runtime that would compute another model is not given one.
TEST(MlxTarget, RefusesScaledRotaryEmbeddingsWhereMlxIgnoresThem) {
  testing::TempDir dir;
  for (const std::string_view family : {"phi2", "llama"}) {
    testing::WriteTinyModel(dir.path() / family, family,
                            {.rope_scaling = R"({"rope_type": "linear", "factor": 4.0})"});
    const auto files = ResolveModel(RealFileSystem(), dir.path() / family);
    ASSERT_OK(files);
    const auto source = HfSource::Open(RealFileSystem(), *files);
    ASSERT_OK(source);
    const auto layout = PlanMlx(**source, *FindRecipe("bf16"));
    if (family == "llama") {
      EXPECT_OK(layout);
    } else {
      EXPECT_ERROR(layout, kUnimplemented, "phi2");
    }
  }
}

}  // namespace
}  // namespace quantfleet::pipeline
