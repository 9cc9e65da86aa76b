// What a planner alone sees of folders for transformers and vLLM; that the numbers are right is
// judged in tests/e2e/test_safetensors.py.
#include "pipeline/format/safetensors/write/safetensors_target.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <map>
#include <set>

#include "tests/pipeline/format/demo_layout.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_model.h"

namespace quantfleet::pipeline {
namespace {

namespace json = boost::json;
using ::testing::HasSubstr;
using testing::TempDir;

json::object ConfigOf(const TargetLayout& layout) {
  return json::parse(FileOf(layout, "config.json").fixed[0].bytes).as_object();
}

std::unique_ptr<ModelSource> Tiny(const TempDir& dir, std::string_view family,
                                  const testing::TinyModelOptions& options = {}) {
  testing::WriteTinyModel(dir / "model", family, options);
  return *OpenModel(RealFileSystem(), dir / "model");
}

// The types of the tensors whose rows are placed.
std::map<std::string, DType> TypesIn(const TargetLayout& layout) {
  std::map<std::string, DType> types;
  for (const PlacedPiece& placed : layout.pieces) types[placed.tensor] = placed.dtype;
  return types;
}

TEST(SafetensorsTarget, OneFileHasNoIndexAndSeveralHaveOne) {
  const auto source = OpenDemo();
  const auto whole = PlanSafetensors(*source, *FindRecipe("f16"));
  ASSERT_OK(whole);
  std::set<std::string> files;
  for (const OutputFile& file : whole->files) files.insert(file.path);
  EXPECT_TRUE(files.contains("model.safetensors"));
  EXPECT_FALSE(files.contains("model.safetensors.index.json"));
  const auto cut = PlanSafetensors(*source, *FindRecipe("w4a16"), 400'000);
  ASSERT_OK(cut);
  const auto index =
      json::parse(FileOf(*cut, "model.safetensors.index.json").fixed[0].bytes).as_object();
  const json::object& where = index.at("weight_map").as_object();
  const std::string down = "model.layers.1.mlp.down_proj.weight";
  for (const char* part : {"_scale", "_shape"})
    EXPECT_EQ(where.at(down + part), where.at(down + "_packed")) << part;
}

TEST(SafetensorsTarget, NeitherHeadNorEmbeddingIsQuantized) {
  const auto source = OpenDemo();
  const auto layout = PlanSafetensors(*source, *FindRecipe("w4a16"));
  ASSERT_OK(layout);
  const std::map<std::string, DType> types = TypesIn(*layout);
  EXPECT_EQ(types.at("lm_head.weight"), DType::kF16);
  EXPECT_EQ(types.at("model.embed_tokens.weight"), DType::kF16);
  EXPECT_EQ(types.at("model.layers.0.mlp.down_proj.weight"), DType::kI4_G128);
  const json::object config = ConfigOf(*layout), how = config.at("quantization_config").as_object();
  EXPECT_EQ(config.at("torch_dtype"), "float16");
  EXPECT_EQ(how.at("format"), "pack-quantized");
  EXPECT_EQ(how.at("ignore"), (json::array{"lm_head"}));
  const json::object& weights = how.at("config_groups").at("group_0").at("weights").as_object();
  EXPECT_EQ(weights.at("group_size"), 128);
  EXPECT_EQ(weights.at("strategy"), "group");
}

TEST(SafetensorsTarget, RowsOfOneScaleAreMultipliedWithRoundedActivations) {
  const auto layout = PlanSafetensors(*OpenDemo(), *FindRecipe("w8a8"));
  ASSERT_OK(layout);
  const json::object how = ConfigOf(*layout).at("quantization_config").as_object();
  EXPECT_EQ(how.at("format"), "int-quantized");
  const json::object& group = how.at("config_groups").at("group_0").as_object();
  EXPECT_EQ(group.at("weights").at("strategy"), "channel");
  EXPECT_EQ(group.at("input_activations").at("strategy"), "token");
  EXPECT_EQ(group.at("input_activations").at("dynamic"), true);
}

// 576 columns are SmolLM2's; 172 no group divides.
TEST(SafetensorsTarget, GroupsThatDoNotDivideGiveWay) {
  TempDir dir;
  const auto source =
      Tiny(dir, "llama", {.hidden = 576, .intermediate = 172, .heads = 9, .kv_heads = 3});
  const auto layout = PlanSafetensors(*source, *FindRecipe("w4a16"));
  ASSERT_OK(layout);
  const std::map<std::string, DType> types = TypesIn(*layout);
  EXPECT_EQ(types.at("model.layers.0.self_attn.q_proj.weight"), DType::kI4_G64);
  EXPECT_EQ(types.at("model.layers.0.mlp.down_proj.weight"), DType::kF16);
  EXPECT_FALSE(layout->fallbacks.empty());
  const json::object how = ConfigOf(*layout).at("quantization_config").as_object();
  EXPECT_EQ(how.at("config_groups").at("group_0").at("weights").at("group_size"), 64);
  EXPECT_THAT(json::serialize(how.at("ignore")), HasSubstr("model.layers.0.mlp.down_proj"));
  // One scale for a row divides every row.
  const auto rows = PlanSafetensors(*source, *FindRecipe("w8a8"));
  ASSERT_OK(rows);
  EXPECT_EQ(TypesIn(*rows).at("model.layers.0.mlp.down_proj.weight"), DType::kI8_Row);
}

TEST(SafetensorsTarget, TypesOfTheirOwnAreNamed) {
  Recipe recipe = *FindRecipe("w4a16");
  recipe.changes.overrides = {*TypeOverride::Parse("role:ffn_down=i8_g64")};
  const auto layout = PlanSafetensors(*OpenDemo(), recipe);
  ASSERT_OK(layout);
  const json::object groups =
      ConfigOf(*layout).at("quantization_config").at("config_groups").as_object();
  EXPECT_EQ(groups.at("group_1").at("weights").at("num_bits"), 8);
  EXPECT_EQ(groups.at("group_1").at("targets").as_array().front(), "model.layers.0.mlp.down_proj");
  recipe.changes.overrides = {*TypeOverride::Parse("role:ffn_down=i8_row")};
  EXPECT_ERROR(PlanSafetensors(*OpenDemo(), recipe), kInvalidArgument, "i8_row");
  recipe.changes.overrides = {*TypeOverride::Parse("role:ffn_down=u4_g64")};
  EXPECT_ERROR(PlanSafetensors(*OpenDemo(), recipe), kInvalidArgument, "u4_g64");
  // Nothing looks up rows of codes.
  recipe.changes = {.embedding = DType::kQ8_0};
  const auto kept = PlanSafetensors(*OpenDemo(), recipe);
  ASSERT_OK(kept);
  EXPECT_EQ(TypesIn(*kept).at("model.embed_tokens.weight"), DType::kF16);
  EXPECT_EQ(kept->fallbacks.front().asked, DType::kQ8_0);
}

TEST(SafetensorsTarget, EachExpertHasTensorsOfItsOwn) {
  TempDir dir;
  const auto source = Tiny(dir, "qwen3moe", {.hidden = 128});
  const auto layout = PlanSafetensors(*source, *FindRecipe("w4a16-g32"));
  ASSERT_OK(layout);
  const std::map<std::string, DType> types = TypesIn(*layout);
  EXPECT_TRUE(types.contains("model.layers.0.mlp.experts.1.gate_proj.weight"));
  EXPECT_EQ(types.at("model.layers.0.mlp.gate.weight"), DType::kF16);
  const json::object config = ConfigOf(*layout);
  EXPECT_THAT(json::serialize(config.at("quantization_config").at("ignore")),
              HasSubstr("model.layers.0.mlp.gate"));
}

TEST(SafetensorsTarget, RefusesWhatItsReadersHaveOtherwise) {
  TempDir dir;
  EXPECT_ERROR(PlanSafetensors(*Tiny(dir, "gpt-oss"), *FindRecipe("bf16")), kUnimplemented,
               "experts");
  TempDir other;
  const auto bert = Tiny(other, "bert");
  EXPECT_ERROR(PlanSafetensors(*bert, *FindRecipe("w4a16")), kUnimplemented, "embeddings");
  EXPECT_OK(PlanSafetensors(*bert, *FindRecipe("f16")));
}

// What the source says of itself is passed on; of how it was quantized nothing is.
TEST(SafetensorsTarget, ConfigIsTheSources) {
  TempDir dir;
  const auto source =
      Tiny(dir, "llama", {.extra_config = R"(, "dtype": "float32", "pretraining_tp": 1,
                             "quantization": null)"});
  const auto layout = PlanSafetensors(*source, *FindRecipe("bf16"));
  ASSERT_OK(layout);
  const json::object config = ConfigOf(*layout);
  EXPECT_EQ(config.at("dtype"), "bfloat16");
  EXPECT_EQ(config.at("pretraining_tp"), 1);
  EXPECT_FALSE(config.contains("quantization"));
  EXPECT_FALSE(config.contains("torch_dtype"));
}

}  // namespace
}  // namespace quantfleet::pipeline
