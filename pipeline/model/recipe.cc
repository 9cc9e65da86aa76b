#include "pipeline/model/recipe.h"

namespace quantfleet::pipeline {

DType Recipe::TypeOf(const ModelDescription& model, const Piece& piece) const {
  if (piece.dims == 1) return DType::kF32;
  const bool is_head = piece.role == Role::kOutputHead ||
                       (piece.role == Role::kTokenEmbedding && model.hyper.tied_embeddings);
  const DType type = is_head ? head : body;
  return Divides(type, piece.cols) ? type : DType::kF16;
}

const std::vector<Recipe>& Recipes() {
  static const std::vector<Recipe> recipes{
      {"f32", DType::kF32, DType::kF32},
      {"f16", DType::kF16, DType::kF16},
      {"bf16", DType::kBF16, DType::kBF16},
      {"q8_0", DType::kQ8_0, DType::kQ8_0},
      {"q4_0", DType::kQ4_0, DType::kQ8_0},  // the head loses more from four bits than it saves
  };
  return recipes;
}

absl::StatusOr<Recipe> FindRecipe(std::string_view name) {
  std::string known;
  for (const Recipe& recipe : Recipes()) {
    if (recipe.name == name) return recipe;
    known += (known.empty() ? "" : ", ") + recipe.name;
  }
  return NotFound("there is no recipe '{}'; the recipes are {}", name, known);
}

}  // namespace quantfleet::pipeline
