#include "pipeline/recipe/recipe.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "pipeline/family/family.h"
#include "tests/support/status_matchers.h"

namespace quantfleet::pipeline {
namespace {

ModelDescription Model(std::string_view family, int64_t layers, bool tied = false) {
  ModelDescription model;
  model.family = FindFamily(family);
  model.hyper.layers = layers;
  model.hyper.heads = 8;
  model.hyper.kv_heads = 2;
  model.hyper.tied_embeddings = tied;
  return model;
}

class RecipeTest : public ::testing::Test {
 protected:
  DType TypeOf(const Recipe& recipe, std::vector<Role> roles, int layer, int64_t cols = 512,
               std::string_view name = "x.weight", bool importance = false) const {
    return recipe.TypeOf(model_,
                         {.name = name, .roles = roles, .layer = layer, .cols = cols, .dims = 2},
                         importance);
  }
  DType TypeOf(const char* recipe, Role role, int layer = -1, int64_t cols = 512) const {
    return TypeOf(*FindRecipe(recipe), {role}, layer, cols);
  }
  // Layers where the type is not the body's.
  std::vector<int> Lifted(const char* name, std::vector<Role> roles, DType lifted,
                          bool importance = false) const {
    const Recipe recipe = *FindRecipe(name);
    std::vector<int> layers;
    for (int layer = 0; layer < model_.hyper.layers; ++layer) {
      const DType type = TypeOf(recipe, roles, layer, 512, "x.weight", importance);
      if (type == lifted) {
        layers.push_back(layer);
      } else {
        EXPECT_EQ(type, recipe.body) << name << " " << layer;
      }
    }
    return layers;
  }

  ModelDescription model_ = Model("llama", 32);
};

TEST_F(RecipeTest, HeadsGetMoreThanBodies) {
  for (const char* name : {"q4_0", "q4_1", "q5_0", "q5_1", "q4_k_s", "q4_k_m", "q5_k_s", "q5_k_m",
                           "q6_k", "iq4_nl", "iq4_xs"})
    EXPECT_EQ(TypeOf(name, Role::kOutputHead), DType::kQ6_K) << name;
  EXPECT_EQ(TypeOf("q8_0", Role::kOutputHead), DType::kQ8_0);
  EXPECT_EQ(TypeOf("f16", Role::kOutputHead), DType::kF16);
  EXPECT_EQ(TypeOf("q4_0", Role::kTokenEmbedding), DType::kQ4_0);
  EXPECT_EQ(TypeOf("q4_k_m", Role::kTokenEmbedding), DType::kQ4_K);
  model_.hyper.tied_embeddings = true;
  EXPECT_EQ(TypeOf("q4_0", Role::kTokenEmbedding), DType::kQ6_K);
}

TEST_F(RecipeTest, OneDimensionStaysFloat) {
  const std::vector<Role> norm{Role::kAttnNorm};
  for (const Recipe& recipe : Recipes())
    EXPECT_EQ(recipe.TypeOf(
                  model_, {.name = "n", .roles = norm, .layer = 0, .cols = 512, .dims = 1}, false),
              DType::kF32);
}

TEST_F(RecipeTest, MediumMixesLiftVAndDownInSomeLayers) {
  const std::vector<int> more{0, 1, 2, 3, 6, 9, 12, 15, 18, 21, 24, 27, 28, 29, 30, 31};
  for (const char* name : {"q4_k_m", "q5_k_m"})
    for (const Role role : {Role::kAttnV, Role::kFfnDown})
      EXPECT_EQ(Lifted(name, {role}, DType::kQ6_K), more) << name;
  EXPECT_EQ(Lifted("q4_k_m", {Role::kAttnQ, Role::kAttnK, Role::kAttnV}, DType::kQ6_K), more);
  for (const Role role :
       {Role::kAttnQ, Role::kAttnK, Role::kAttnOutput, Role::kFfnGate, Role::kFfnUp})
    EXPECT_TRUE(Lifted("q4_k_m", {role}, DType::kQ6_K).empty()) << Name(role);
  model_.hyper.layers = 2;  // no eighth at all, and the last seven eighths begin at layer 1
  EXPECT_EQ(Lifted("q4_k_m", {Role::kFfnDown}, DType::kQ6_K), (std::vector<int>{1}));
}

TEST_F(RecipeTest, SmallMixesLiftTheFirstLayers) {
  const std::vector<int> first{0, 1, 2, 3};
  EXPECT_EQ(Lifted("q4_k_s", {Role::kAttnV}, DType::kQ5_K), first);
  EXPECT_EQ(Lifted("q4_k_s", {Role::kFfnDown}, DType::kQ5_K), first);
  model_.hyper.layers = 16;
  EXPECT_EQ(Lifted("q4_k_s", {Role::kAttnV}, DType::kQ5_K), first);
  EXPECT_EQ(Lifted("q4_k_s", {Role::kFfnDown}, DType::kQ5_K), (std::vector<int>{0, 1}));
  for (const Role role : {Role::kAttnV, Role::kFfnDown})
    EXPECT_TRUE(Lifted("q5_k_s", {role}, DType::kQ6_K).empty());
}

TEST_F(RecipeTest, ImportanceMovesTheFirstDowns) {
  const std::vector<int> first{0, 1, 2, 3};
  EXPECT_EQ(Lifted("q4_0", {Role::kFfnDown}, DType::kQ4_1, true), first);
  EXPECT_EQ(Lifted("q5_0", {Role::kFfnDown}, DType::kQ5_1, true), first);
  EXPECT_TRUE(Lifted("q4_0", {Role::kFfnDown}, DType::kQ4_1, false).empty());
  EXPECT_TRUE(Lifted("q4_0", {Role::kAttnV}, DType::kQ4_1, true).empty());
}

TEST_F(RecipeTest, Iq4LiftsWhatIsSmallAndTheFirstDownsUnlessThereIsImportance) {
  const std::vector<int> first{0, 1, 2, 3};
  for (const char* name : {"iq4_nl", "iq4_xs"}) {
    model_ = Model("llama", 32);
    EXPECT_EQ(Lifted(name, {Role::kFfnDown}, DType::kQ5_K), first) << name;
    EXPECT_TRUE(Lifted(name, {Role::kFfnDown}, DType::kQ5_K, true).empty()) << name;
    EXPECT_EQ(std::ssize(Lifted(name, {Role::kAttnV}, DType::kQ5_K)), 32) << name;
    EXPECT_TRUE(Lifted(name, {Role::kAttnOutput}, DType::kQ5_K).empty()) << name;
    model_.hyper.kv_heads = 4;
    EXPECT_TRUE(Lifted(name, {Role::kAttnV}, DType::kQ5_K).empty()) << name;
    model_.hyper.experts = 8;
    EXPECT_EQ(std::ssize(Lifted(name, {Role::kAttnOutput}, DType::kQ5_K)), 32) << name;
    EXPECT_EQ(TypeOf(name, Role::kAttnV, 9), DType::kQ8_0) << name;
  }
}

TEST_F(RecipeTest, TwoAndThreeBitsLiftVDownAndOutput) {
  model_.hyper.kv_heads = 4;
  const auto types_of = [&](const char* recipe, int layer) {
    return std::vector<DType>{
        TypeOf(recipe, Role::kAttnV, layer), TypeOf(recipe, Role::kFfnDown, layer),
        TypeOf(recipe, Role::kAttnOutput, layer), TypeOf(recipe, Role::kFfnUp, layer)};
  };
  using enum DType;
  EXPECT_EQ(types_of("q2_k", 9), (std::vector{kQ3_K, kQ3_K, kQ3_K, kQ2_K}));
  EXPECT_EQ(types_of("q3_k_s", 9), (std::vector{kQ3_K, kQ3_K, kQ3_K, kQ3_K}));
  EXPECT_EQ(types_of("q3_k_m", 1), (std::vector{kQ5_K, kQ5_K, kQ4_K, kQ3_K}));
  EXPECT_EQ(types_of("q3_k_m", 9), (std::vector{kQ4_K, kQ4_K, kQ4_K, kQ3_K}));
  EXPECT_EQ(types_of("q3_k_l", 9), (std::vector{kQ5_K, kQ5_K, kQ5_K, kQ3_K}));
  EXPECT_EQ(types_of("iq3_s", 1), (std::vector{kIQ3_S, kIQ3_S, kIQ3_S, kIQ3_S}));
  EXPECT_EQ(types_of("iq3_m", 1), (std::vector{kQ4_K, kQ4_K, kQ4_K, kIQ3_S}));
  EXPECT_EQ(types_of("iq3_m", 9), (std::vector{kQ4_K, kIQ3_S, kQ4_K, kIQ3_S}));
  model_.hyper.kv_heads = 2;
  EXPECT_EQ(TypeOf("q2_k", Role::kAttnV, 9), kQ4_K);
  EXPECT_EQ(TypeOf("iq3_s", Role::kAttnV, 9), kQ4_K);
  model_.hyper.experts = 8;
  EXPECT_EQ(types_of("q2_k", 9), (std::vector{kQ8_0, kQ3_K, kQ5_K, kQ2_K}));
  EXPECT_EQ(types_of("q3_k_l", 9), (std::vector{kQ8_0, kQ5_K, kQ3_K, kQ3_K}));
  EXPECT_EQ(types_of("iq3_s", 9), (std::vector{kQ8_0, kIQ3_S, kQ5_K, kIQ3_S}));
  EXPECT_EQ(TypeOf("q2_k", Role::kFfnUp, 0, 896), kQ4_0);
  EXPECT_EQ(TypeOf("iq3_s", Role::kFfnUp, 0, 896), kIQ4_NL);
}

TEST_F(RecipeTest, ExpertsAloneBecomeMxfp4) {
  for (const Role role : {Role::kFfnGateExpert, Role::kFfnUpExpert, Role::kFfnDownExpert})
    EXPECT_EQ(TypeOf("mxfp4_moe", role, 0), DType::kMXFP4) << Name(role);
  for (const Role role : {Role::kTokenEmbedding, Role::kOutputHead, Role::kAttnV, Role::kFfnDown})
    EXPECT_EQ(TypeOf("mxfp4_moe", role, 0), DType::kQ8_0) << Name(role);
  Recipe recipe = *FindRecipe("mxfp4_moe");
  recipe.changes.pure = true;
  EXPECT_EQ(TypeOf(recipe, {Role::kAttnV}, 0), DType::kMXFP4);
}

TEST_F(RecipeTest, EightyLayersShareTheirV) {
  model_.hyper.layers = 80;
  EXPECT_EQ(TypeOf("q4_k_m", Role::kAttnV, 11), DType::kQ5_K);
  EXPECT_EQ(TypeOf("q4_k_m", Role::kAttnV, 12), DType::kQ6_K);
  EXPECT_EQ(TypeOf("q4_k_s", Role::kAttnV, 11), DType::kQ5_K);
  EXPECT_EQ(TypeOf("q5_k_s", Role::kAttnV, 11), DType::kQ5_K);
  EXPECT_EQ(TypeOf("q4_0", Role::kAttnV, 11), DType::kQ4_0);
  EXPECT_EQ(TypeOf("q4_k_m", Role::kAttnK, 11), DType::kQ4_K);
  model_.hyper.kv_heads = model_.hyper.heads;
  EXPECT_EQ(TypeOf("q4_k_m", Role::kAttnV, 11), DType::kQ4_K);
}

TEST_F(RecipeTest, RowsThatBlocksDoNotDivideFallBack) {
  EXPECT_EQ(TypeOf("q4_k_m", Role::kAttnQ, 0, 896), DType::kQ5_0);
  EXPECT_EQ(TypeOf("q5_k_m", Role::kAttnQ, 0, 896), DType::kQ5_1);
  EXPECT_EQ(TypeOf("q6_k", Role::kAttnQ, 0, 896), DType::kQ8_0);
  EXPECT_EQ(TypeOf("iq4_xs", Role::kAttnQ, 0, 896), DType::kIQ4_NL);
  EXPECT_EQ(TypeOf("q4_k_m", Role::kOutputHead, -1, 896), DType::kQ8_0);
  EXPECT_EQ(TypeOf("q4_0", Role::kOutputHead, -1, 896), DType::kQ8_0);
  for (const Recipe& recipe : Recipes()) {
    if (IsFloat(recipe.body)) continue;
    EXPECT_EQ(TypeOf(recipe, {Role::kFfnDown}, 0, 44), DType::kF16) << recipe.name;
  }
  EXPECT_EQ(TypeOf("f32", Role::kFfnDown, 0, 44), DType::kF32);
  EXPECT_EQ(TypeOf("bf16", Role::kFfnDown, 0, 44), DType::kBF16);
}

TEST_F(RecipeTest, ChangesGoBeforeTheMix) {
  Recipe recipe = *FindRecipe("q4_k_m");
  recipe.changes.overrides = {
      *TypeOverride::Parse("blk\\.[01]\\.attn_=q8_0"), *TypeOverride::Parse("role:attn_v=q5_1"),
      *TypeOverride::Parse("attn_=f16"), *TypeOverride::Parse("output=f32")};
  EXPECT_EQ(TypeOf(recipe, {Role::kAttnV}, 0, 512, "blk.0.attn_v.weight"), DType::kQ8_0);
  EXPECT_EQ(TypeOf(recipe, {Role::kAttnV}, 2, 512, "blk.2.attn_v.weight"), DType::kQ5_1);
  EXPECT_EQ(
      TypeOf(recipe, {Role::kAttnQ, Role::kAttnK, Role::kAttnV}, 2, 512, "blk.2.attn_qkv.weight"),
      DType::kQ5_1);
  EXPECT_EQ(TypeOf(recipe, {Role::kAttnQ}, 2, 512, "blk.2.attn_q.weight"), DType::kF16);
  EXPECT_EQ(TypeOf(recipe, {Role::kFfnUp}, 2, 512, "blk.2.ffn_up.weight"), DType::kQ4_K);
  EXPECT_EQ(TypeOf(recipe, {Role::kFfnDown}, 0, 512, "blk.0.ffn_down.weight"), DType::kQ6_K);
  EXPECT_EQ(TypeOf(recipe, {Role::kOutputHead}, -1, 512, "output.weight"), DType::kF32);
  // The rows still decide last.
  EXPECT_EQ(TypeOf(recipe, {Role::kAttnV}, 0, 44, "blk.0.attn_v.weight"), DType::kF16);

  recipe.changes.output = DType::kQ8_0;
  EXPECT_EQ(TypeOf(recipe, {Role::kOutputHead}, -1, 512, "output.weight"), DType::kQ8_0);
  EXPECT_EQ(TypeOf(recipe, {Role::kTokenEmbedding}, -1, 512, "token_embd.weight"), DType::kQ4_K);
  recipe.changes.embedding = DType::kQ5_K;
  EXPECT_EQ(TypeOf(recipe, {Role::kTokenEmbedding}, -1, 512, "token_embd.weight"), DType::kQ5_K);
  model_.hyper.tied_embeddings = true;
  EXPECT_EQ(TypeOf(recipe, {Role::kTokenEmbedding}, -1, 512, "token_embd.weight"), DType::kQ5_K);
  recipe.changes.embedding.reset();
  EXPECT_EQ(TypeOf(recipe, {Role::kTokenEmbedding}, -1, 512, "token_embd.weight"), DType::kQ8_0);
  EXPECT_EQ(recipe.changes.Clauses(),
            (std::vector<std::string>{"output=q8_0", "blk\\.[01]\\.attn_=q8_0", "role:attn_v=q5_1",
                                      "attn_=f16", "output=f32"}));
}

TEST_F(RecipeTest, PureIsTheBodyEverywhere) {
  Recipe recipe = *FindRecipe("q4_k_m");
  EXPECT_TRUE(recipe.changes.empty());
  recipe.changes.pure = true;
  EXPECT_FALSE(recipe.changes.empty());
  EXPECT_EQ(TypeOf(recipe, {Role::kOutputHead}, -1), DType::kQ4_K);
  EXPECT_EQ(TypeOf(recipe, {Role::kAttnV}, 0), DType::kQ4_K);
  EXPECT_EQ(TypeOf(recipe, {Role::kFfnDown}, 0, 96), DType::kQ5_0);
}

TEST_F(RecipeTest, AFormatMayWantTheEmbeddingOtherwise) {
  Recipe recipe = *FindRecipe("int4");
  recipe.embedding = DType::kQ5_0;
  EXPECT_EQ(TypeOf(recipe, {Role::kTokenEmbedding}, -1), DType::kQ5_0);
  EXPECT_EQ(TypeOf(recipe, {Role::kFfnUp}, 0), DType::kQ4_0);
  EXPECT_TRUE(ClausesOf(recipe).empty());
  model_.hyper.tied_embeddings = true;
  EXPECT_EQ(TypeOf(recipe, {Role::kTokenEmbedding}, -1), DType::kQ8_0);
  model_.hyper.tied_embeddings = false;
  recipe.changes.pure = true;
  EXPECT_EQ(TypeOf(recipe, {Role::kTokenEmbedding}, -1), DType::kQ4_0);
  recipe.changes.overrides = {*TypeOverride::Parse("role:token_embedding=f16")};
  EXPECT_EQ(TypeOf(recipe, {Role::kTokenEmbedding}, -1), DType::kF16);
}

TEST_F(RecipeTest, OptionsOfInt8AndInt4) {
  struct Case {
    const char *name, *body, *head, *embedding;
  };
  for (const Case& c : {Case{"int4-g64", "i4_g64", "i8_g64", "i4_g64"},
                        {"int4-g128", "i4_g128", "i8_g128", "i4_g128"},
                        {"int4-g16-asym", "u4_g16", "u8_g16", "u4_g16"},
                        {"int4-g256", "i4_g256", "i8_g256", "i4_g256"},
                        {"int8-g16", "i8_g16", "i8_g16", "i8_g16"},
                        {"int4-asym", "u4_g32", "u8_g32", "u4_g32"},
                        {"int4-g128-asym", "u4_g128", "u8_g128", "u4_g128"},
                        {"int4-pure", "q4_0", "q4_0", "q4_0"},
                        {"int4-g64-asym-pure", "u4_g64", "u4_g64", "u4_g64"},
                        {"int8-g64", "i8_g64", "i8_g64", "i8_g64"},
                        {"int8-g128-asym", "u8_g128", "u8_g128", "u8_g128"},
                        {"int8-asym", "u8_g32", "u8_g32", "u8_g32"}}) {
    const auto recipe = FindRecipe(c.name);
    ASSERT_OK(recipe);
    EXPECT_TRUE(ValidRecipeName(c.name));
    EXPECT_EQ(recipe->name, c.name);
    EXPECT_EQ(Info(TypeOf(*recipe, {Role::kFfnUp}, 0)).name, c.body) << c.name;
    EXPECT_EQ(Info(TypeOf(*recipe, {Role::kOutputHead}, -1)).name, c.head) << c.name;
    EXPECT_EQ(Info(TypeOf(*recipe, {Role::kTokenEmbedding}, -1)).name, c.embedding) << c.name;
    EXPECT_FALSE(recipe->standard_operators);
  }
  EXPECT_TRUE(FindRecipe("int8-qdq")->standard_operators);
  for (const char* name : {"int4", "int8", "int4-g128-asym", "int4-g64-pure"}) {
    EXPECT_FALSE(FindRecipe(name)->exact) << name;
    const auto exact = FindRecipe(fmt::format("{}-exact", name));
    ASSERT_OK(exact);
    EXPECT_TRUE(exact->exact) << name;
    EXPECT_EQ(exact->body, FindRecipe(name)->body);
    EXPECT_EQ(exact->head, FindRecipe(name)->head);
    EXPECT_EQ(exact->base, std::string_view(name).substr(0, 4));
  }
  // One spelling for each: in this order, once, and nothing that changes nothing.
  for (const char* name : {"int4-", "int4-g32", "int4-asym-g64", "int4-g64-g128", "int4-asym-asym",
                           "int4-pure-asym", "int8-pure", "int4-g64x", "int4-G64", "int8-qdq-g64",
                           "fp16-g64", "q4_0-g64", "int4-exact-g64", "int4-exact-pure",
                           "int4-exact-exact", "fp32-exact", "int8-qdq-exact", "q4_0-exact"})
    EXPECT_ERROR(FindRecipe(name), kNotFound, "-g16", "-g256", "-asym", "-pure", "-exact");
}

TEST_F(RecipeTest, Names) {
  EXPECT_ERROR(FindRecipe("q3"), kNotFound, "'q3'", "f32, f16, bf16, q8_0, q6_k");
  for (const Recipe& recipe : Recipes()) EXPECT_TRUE(ValidRecipeName(recipe.name));
  for (const char* bad : {"", "Q4", "-a", ".a", "a/b", "a b", "a\n"})
    EXPECT_FALSE(ValidRecipeName(bad)) << bad;
  EXPECT_FALSE(ValidRecipeName(std::string(65, 'a')));
}

TEST(TypeOverride, WhatCannotBeReadIsRefused) {
  EXPECT_ERROR(TypeOverride::Parse("attn_v"), kInvalidArgument, "REGEX=TYPE");
  EXPECT_ERROR(TypeOverride::Parse("attn_v=q9"), kInvalidArgument, "'q9'");
  EXPECT_ERROR(TypeOverride::Parse("=q8_0"), kInvalidArgument, "1 to 256 bytes");
  EXPECT_ERROR(TypeOverride::Parse(std::string(257, 'a') + "=q8_0"), kInvalidArgument, "not 257");
  EXPECT_ERROR(TypeOverride::Parse("(a=q8_0"), kInvalidArgument, "'(a'");
  EXPECT_ERROR(TypeOverride::Parse("(?=a)b=q8_0"), kInvalidArgument, "regular expression");
  EXPECT_ERROR(TypeOverride::Parse("(((a{100}){100}){100})=q8_0"), kInvalidArgument,
               "regular expression");
  EXPECT_ERROR(TypeOverride::Parse("a\nb=q8_0"), kInvalidArgument, "control character");
  // Found by fuzz_recipe: its text would have been read again as a role.
  EXPECT_ERROR(TypeOverride::OfPattern("role:ffn_dow[n]", DType::kQ6_K), kInvalidArgument, "role");
  EXPECT_ERROR(TypeOverride::Parse("\xff=q8_0"), kInvalidArgument, "regular expression");
  EXPECT_ERROR(TypeOverride::Parse("role:attn_norm=q8_0"), kInvalidArgument, "'attn_norm'",
               "token_embedding, output_head");
}

// What drives a backtracking matcher into hours.
TEST(TypeOverride, PatternsAreLinear) {
  const auto o = TypeOverride::Parse("(a*)*(a*)*(a|a)*b$=Q8_0");
  ASSERT_OK(o);
  const std::string name(200, 'a');
  EXPECT_FALSE(o->Matches({.name = name, .roles = {}, .layer = 0, .cols = 1, .dims = 2}));
  EXPECT_EQ(o->text(), "(a*)*(a*)*(a|a)*b$=q8_0");
}

}  // namespace
}  // namespace quantfleet::pipeline
