// A mix as a recipe, and as the file that `quantize` takes it from. Pure.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pipeline/recipe/recipe.h"

namespace quantfleet::pipeline {

// What each tensor of a target gets, by its name; names are unlike.
using TensorTypes = std::vector<std::pair<std::string, DType>>;

// Patterns of ParseRecipe's overrides that find these tensors and no others: tensors that differ in
// the layer alone, and get one type, share a pattern.
std::vector<std::pair<std::string, DType>> PatternsOf(const TensorTypes& types);

// The type that most tensors get is the recipe's body. Tensors that are not named get it too, if
// they are matrices. `name`: as ValidRecipeName. INVALID_ARGUMENT: it takes more overrides than a
// recipe may have.
absl::StatusOr<Recipe> RecipeOf(std::string_view name, const TensorTypes& types);

// The file of a recipe that RecipeOf has made: ParseRecipe gives the same. Each line of `comment`
// becomes a comment at its beginning.
std::string RecipeText(const Recipe& recipe, std::string_view comment);

}  // namespace quantfleet::pipeline
