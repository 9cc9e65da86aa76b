#include "pipeline/recipe/mix.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "pipeline/recipe/mix_recipe.h"
#include "pipeline/recipe/recipe_file.h"
#include "tests/support/status_matchers.h"

namespace quantfleet::pipeline {
namespace {

using ::quantfleet::testing::StatusOf;

constexpr DType kTypes[] = {DType::kQ2_K, DType::kQ4_0, DType::kQ5_0, DType::kQ8_0, DType::kF16};

MixTensor Tensor(std::string name, std::vector<std::pair<uint64_t, double>> choices) {
  MixTensor tensor{std::move(name), {}};
  for (size_t i = 0; i < choices.size(); ++i)
    tensor.choices.push_back({kTypes[i], choices[i].first, choices[i].second});
  return tensor;
}

TEST(SolveMix, TakesTheStepThatSavesMostPerByte) {
  const std::vector<MixTensor> tensors = {Tensor("a", {{10, 8}, {20, 1}}),
                                          Tensor("b", {{10, 8}, {20, 4}})};
  EXPECT_EQ(SolveMix(tensors, 20)->chosen, (std::vector<size_t>{0, 0}));
  EXPECT_EQ(SolveMix(tensors, 30)->chosen, (std::vector<size_t>{1, 0}));
  EXPECT_EQ(SolveMix(tensors, 39)->chosen, (std::vector<size_t>{1, 0}));
  const auto all = SolveMix(tensors, 1000);
  ASSERT_OK(all);
  EXPECT_EQ(all->chosen, (std::vector<size_t>{1, 1}));
  EXPECT_EQ(all->bytes, 40u);
  EXPECT_EQ(all->harm, 5);
}

TEST(SolveMix, SpendsTheRestOnWhatIsNotOnTheHull) {
  // b's middle choice is above the line between its ends, and is what the rest buys.
  const std::vector<MixTensor> tensors = {Tensor("a", {{10, 10}, {20, 0}}),
                                          Tensor("b", {{10, 10}, {15, 9}, {40, 0}})};
  EXPECT_EQ(SolveMix(tensors, 36)->chosen, (std::vector<size_t>{1, 1}));
}

TEST(SolveMix, TakesOneOfManyAlikeAfterTheOther) {
  std::vector<MixTensor> tensors(9, Tensor("t", {{10, 3}, {20, 1}}));
  const auto mix = SolveMix(tensors, 135);
  ASSERT_OK(mix);
  EXPECT_EQ(mix->bytes, 130u);
  EXPECT_EQ(mix->chosen, (std::vector<size_t>{1, 1, 1, 1, 0, 0, 0, 0, 0}));
}

TEST(SolveMix, NeverTakesMoreBytesForMoreHarm) {
  const std::vector<MixTensor> tensors = {Tensor("a", {{10, 1}, {20, 2}, {20, 1}, {10, 1}})};
  EXPECT_EQ(SolveMix(tensors, 100)->chosen, (std::vector<size_t>{0}));
}

TEST(SolveMix, RefusesABudgetBelowTheSmallestMix) {
  const std::vector<MixTensor> tensors = {Tensor("a", {{10, 1}, {5, 2}}), Tensor("b", {{7, 1}})};
  EXPECT_EQ(SmallestMix(tensors), 12u);
  EXPECT_EQ(StatusOf(SolveMix(tensors, 11)).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(SolveMix(tensors, 12)->bytes, 12u);
}

// All mixes of small tables: what is found has no more harm than the best mix of a budget that is
// smaller by one step, and it is nearly always the best of its own.
TEST(SolveMix, IsNearlyTheBestOfAllMixes) {
  std::mt19937 random(7);
  int best_found = 0;
  constexpr int kTables = 300;
  for (int table = 0; table < kTables; ++table) {
    std::vector<MixTensor> tensors;
    uint64_t least = 0, most = 0, step = 0;
    for (int t = 0; t < 6; ++t) {
      const uint64_t size = 1 + random() % 40;
      std::vector<std::pair<uint64_t, double>> choices;
      double harm = 1 + random() % 100;
      for (uint64_t i = 0; i < 4; ++i) {
        choices.emplace_back(size * (4 + i) + random() % 3, harm);
        harm *= 0.2 + 0.1 * (random() % 7);
      }
      least += choices.front().first, most += choices.back().first;
      step = std::max(step, choices.back().first - choices.front().first);
      tensors.push_back(Tensor(std::string(1, static_cast<char>('a' + t)), choices));
    }
    const uint64_t budget = least + random() % (most - least + 1);
    const auto mix = SolveMix(tensors, budget);
    ASSERT_OK(mix);
    ASSERT_LE(mix->bytes, budget);
    double best = 1e9, best_with_less = 1e9;
    for (int code = 0; code < 4096; ++code) {
      uint64_t bytes = 0;
      double harm = 0;
      for (int t = 0; t < 6; ++t) {
        const MixChoice& choice = tensors[t].choices[static_cast<size_t>(code >> (2 * t) & 3)];
        bytes += choice.bytes, harm += choice.harm;
      }
      if (bytes <= budget) best = std::min(best, harm);
      if (bytes + step <= budget) best_with_less = std::min(best_with_less, harm);
    }
    EXPECT_GE(mix->harm, best * (1 - 1e-9));
    EXPECT_LE(mix->harm, best_with_less * (1 + 1e-9));
    best_found += mix->harm <= best * 1.02;
  }
  EXPECT_GT(best_found, kTables * 2 / 3);
}

TEST(PatternsOf, JoinsLayersOfOneType) {
  const TensorTypes types = {{"blk.0.attn_q.weight", DType::kQ4_0},
                             {"blk.0.attn_k.weight", DType::kQ8_0},
                             {"blk.1.attn_q.weight", DType::kQ8_0},
                             {"blk.10.attn_q.weight", DType::kQ4_0},
                             {"token_embd.weight", DType::kQ5_0}};
  EXPECT_EQ(PatternsOf(types), (TensorTypes{{R"(^blk\.(0|10)\.attn_q\.weight$)", DType::kQ4_0},
                                            {R"(^blk\.(0)\.attn_k\.weight$)", DType::kQ8_0},
                                            {R"(^blk\.(1)\.attn_q\.weight$)", DType::kQ8_0},
                                            {R"(^token_embd\.weight$)", DType::kQ5_0}}));
}

TEST(RecipeOf, GivesEachTensorItsTypeAgainFromItsFile) {
  TensorTypes types = {{"token_embd.weight", DType::kQ6_K}};
  std::mt19937 random(3);
  for (int layer = 0; layer < 130; ++layer)
    for (const char* part : {"attn_q", "attn_k", "ffn_down"})
      types.emplace_back(fmt::format("blk.{}.{}.weight", layer, part), kTypes[random() % 5]);
  const auto recipe = RecipeOf("fit-1", types);
  ASSERT_OK(recipe);
  const auto read = ParseRecipe(RecipeText(*recipe, "two\nlines"), "r.toml");
  ASSERT_OK(read);
  EXPECT_EQ(ClausesOf(*read), ClausesOf(*recipe));
  ModelDescription model;
  const Role roles[] = {Role::kAttnQ};
  for (const auto& [name, type] : types) {
    const TargetTensor tensor{name, roles, 0, 256, 2};
    EXPECT_EQ(read->AskedFor(model, tensor, false), type) << name;
  }
}

}  // namespace
}  // namespace quantfleet::pipeline
