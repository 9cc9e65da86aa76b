// A recipe: which element type each role of a model gets. The same names as llama-quantize's.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "pipeline/model/description.h"

namespace quantfleet::pipeline {

struct Recipe {
  std::string name;  // "q4_0"
  DType body;        // 2-D weights
  DType head;        // the output head, or the embedding where they are tied
  // Type of a 2-D weight of `role` with rows of `cols`; falls back where blocks do not divide the row
  // (Q4_0, Q8_0 and F16-quantized rows not divisible by 32 become F16). 1-D tensors and norms are F32 always.
  DType TypeOf(const ModelDescription& model, const Piece& piece) const;
};

absl::StatusOr<Recipe> FindRecipe(std::string_view name);  // f32 f16 bf16 q8_0 q4_0; the error lists them
const std::vector<Recipe>& Recipes();

}  // namespace quantfleet::pipeline
