#include "pipeline/recipe/recipe_file.h"

#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"

namespace quantfleet::pipeline {
namespace {

TEST(RecipeFile, FromABase) {
  const auto recipe = ParseRecipe(R"(
name = "phone.v2"
description = "Small, with a good head."
base = "q4_k_s"
output = "q8_0"
embedding = "Q5_K"

[[override]]
role = "attn_v"
type = "q6_k"

[[override]]
tensor = 'blk\.[01]\.ffn_down'
type = "q5_k"
)",
                                  "r.toml");
  ASSERT_OK(recipe);
  EXPECT_EQ(recipe->name, "phone.v2");
  EXPECT_EQ(recipe->body, DType::kQ4_K);
  EXPECT_EQ(recipe->mix, Mix::kSmall);
  EXPECT_EQ(ClausesOf(*recipe),
            (std::vector<std::string>{"base=q4_k_s", "output=q8_0", "embedding=q5_k",
                                      "role:attn_v=q6_k", "blk\\.[01]\\.ffn_down=q5_k"}));
}

TEST(RecipeFile, FromTypes) {
  const auto recipe =
      ParseRecipe("name = \"a\"\nbody = \"q5_0\"\nhead = \"q8_0\"\npure = false\n", "r.toml");
  ASSERT_OK(recipe);
  EXPECT_EQ(recipe->mix, Mix::kUniform);
  EXPECT_EQ(ClausesOf(*recipe), (std::vector<std::string>{"body=q5_0", "head=q8_0"}));
  EXPECT_EQ(ParseRecipe("name = \"a\"\nbody = \"q5_0\"\n", "r.toml")->head, DType::kQ5_0);
}

TEST(RecipeFile, ErrorsNameFileLineAndKey) {
  const std::pair<std::string, const char*> cases[] = {
      {"name = ", "r.toml: line 1: "},
      {"base = \"q4_0\"", "r.toml: the name is missing"},
      {"name = \"a\"", "r.toml: give either base"},
      {"name = \"a\"\nbase = \"q4_0\"\nbody = \"q4_0\"", "r.toml: give either base"},
      {"name = \"a b\"\nbase = \"q4_0\"", "r.toml: line 1: name: must be 1 to 64 characters of"},
      {"base = \"q4_0\"\nname = \"q8_0\"",
       "r.toml: line 2: name: 'q8_0' is already the name of a recipe"},
      {"name = 3\nbase = \"q4_0\"", "r.toml: line 1: name: must be a non-empty string"},
      {"name = \"a\"\nbase = \"as-is\"", "r.toml: line 2: base: 'as-is' takes the source's own"},
      {"name = \"a\"\nbody = \"iq3_xxs\"",
       "r.toml: line 2: body: element type 'iq3_xxs' can be read but"},
      {"name = \"a\"\nbase = \"q3\"", "r.toml: line 2: base: recipe 'q3' does not exist"},
      {"name = \"a\"\nbase = \"q4_0\"\nhead = \"q8_0\"",
       "r.toml: line 3: head: can only be used with body"},
      {"name = \"a\"\nbody = \"q9\"", "r.toml: line 2: body: unknown element type 'q9'"},
      {"name = \"a\"\nbase = \"q4_0\"\nsize = 3", "r.toml: line 3: size: is not a key of a recipe"},
      {"name = \"a\"\nbase = \"q4_0\"\npure = 1", "r.toml: line 3: pure: must be true or false"},
      {"name = \"a\"\nbase = \"q4_0\"\noverride = 1", "r.toml: line 3: override: must be tables"},
      {"name = \"a\"\nbase = \"q4_0\"\n[[override]]\ntype = \"q8_0\"",
       "r.toml: line 3: override: needs either role"},
      {"name = \"a\"\nbase = \"q4_0\"\n[[override]]\nrole = \"attn_v\"",
       "r.toml: line 3: override: needs a type"},
      {"name = \"a\"\nbase = \"q4_0\"\n[[override]]\nrole = \"v\"\ntype = \"q8_0\"",
       "r.toml: line 4: override.role: 'v' is not a role whose type can be chosen"},
      {"name = \"a\"\nbase = \"q4_0\"\n[[override]]\ntensor = \"(\"\ntype = \"q8_0\"",
       "r.toml: line 4: override.tensor: '(' is not a supported regular expression"},
      {"name = \"a\"\nbase = \"q4_0\"\n[[override]]\ntensor = \"a\"\ntype = \"q8_0\"\nwhy = 1",
       "r.toml: line 6: override.why: is not a key of an override"},
      {"name = \"a\xff\"", "r.toml: is not UTF-8"},
      {std::string(70'000, '#'), "r.toml: the file has 70000 bytes"},
      {"a = " + std::string(5000, '['), "r.toml: line 1: "},
  };
  for (const auto& [text, words] : cases)
    EXPECT_ERROR(ParseRecipe(text, "r.toml"), kInvalidArgument, words);
  std::string many = "name = \"a\"\nbase = \"q4_0\"\n";
  for (int i = 0; i < 257; ++i) many += "[[override]]\ntensor = \"a\"\ntype = \"q8_0\"\n";
  EXPECT_ERROR(ParseRecipe(many, "r.toml"), kInvalidArgument, "override", "257", "256");
}

}  // namespace
}  // namespace quantfleet::pipeline
