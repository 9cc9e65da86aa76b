// Recipes that users write, as TOML (docs/guides/quantize.md). Pure.
#pragma once

#include <string_view>

#include "pipeline/recipe/recipe.h"

namespace quantfleet::pipeline {

inline constexpr size_t kMaxRecipeOverrides = 256;

// `toml` is untrusted, at most 64 KiB with at most kMaxRecipeOverrides; every key has to be known.
// Errors begin with `file`, line and key.
absl::StatusOr<Recipe> ParseRecipe(std::string_view toml, std::string_view file);

}  // namespace quantfleet::pipeline
