// A recipe: which element type each tensor of a target gets. The names, and what they mean tensor
// by tensor, are llama-quantize's (docs/guides/quantize.md). Plain values.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/model/description.h"
#include "pipeline/recipe/type_override.h"

namespace quantfleet::pipeline {

// Which tensors get more bits than the body: those that matter most, as llama-quantize's _S, _M and
// _L, or all but a mixture's experts, which get the head's type.
enum class Mix { kUniform, kSmall, kMedium, kLarge, kExpertsAlone };

// What a user changed in a recipe. `output` is for the output head, or for the embedding where the
// two are tied, and `embedding` for the embedding; both go before the overrides, of which the first
// that matches counts.
struct RecipeChanges {
  std::vector<TypeOverride> overrides = {};
  std::optional<DType> output = {}, embedding = {};
  bool pure = false;  // the body's type everywhere: neither head nor mix

  bool empty() const { return overrides.empty() && !output && !embedding && !pure; }
  // One clause per change: "output=q8_0", "pure", "role:attn_v=q6_k", "^blk.0.=q8_0".
  std::vector<std::string> Clauses() const;
};

struct Recipe {
  std::string name;  // "q4_k_m"
  DType body;        // 2-D weights
  DType head;        // the output head, or the embedding where they are tied
  Mix mix = Mix::kUniform;
  RecipeChanges changes = {};
  // The recipe that one of another name goes by, or that options stand behind; empty: by `body` and
  // `head` alone.
  std::string base = {};
  // An embedding that is no head, where a format wants it otherwise than the body; never in
  // ClausesOf.
  std::optional<DType> embedding = {};
  bool standard_operators = false;  // of ONNX: no operators of ONNX Runtime's own
  // Of ONNX: products with activations in F32, which ONNX Runtime takes long for; activations and
  // cache in F16; a folder for transformers.js.
  bool exact = false, half = false, web = false;

  int64_t least_group = 0;  // of OpenVINO: 4 bits in no smaller groups

  // Of ONNX: activations have so many bits, 8 or 16, and fixed scales; 0: they are floats.
  int activation_bits = 0;

  bool as_llama_cpp = false;  // one of llama-quantize's own: also where a model has few experts

  bool as_is = false;  // the source's own bytes: none of the types counts

  // What the tensor becomes; never a type whose blocks do not divide its rows (FallBack). 1-D
  // tensors are F32. `has_importance`: an importance file goes with the recipe, which moves a few
  // tensors of q4_0 and q5_0.
  DType TypeOf(const ModelDescription& model, const TargetTensor& tensor,
               bool has_importance) const;
  // The same for a tensor of 2 dimensions before any fallback: for formats that refuse what does
  // not divide.
  DType AskedFor(const ModelDescription& model, const TargetTensor& tensor,
                 bool has_importance) const;
};

// What fixes the recipe beside its name, one clause each, as manifests carry it: nothing for the
// recipes of FindRecipe, else its base (or body and head) and its changes.
std::vector<std::string> ClausesOf(const Recipe& recipe);

// The type that takes the place of `type` where its blocks do not divide rows of `cols`.
DType FallBack(DType type, int64_t cols);

inline constexpr std::string_view kAsIsRecipe = "as-is";  // in neither list

// kAsIsRecipe, of either list below, or one of int8 and int4 with options behind it:
// "int4-g128-asym-exact". NOT_FOUND lists them.
absl::StatusOr<Recipe> FindRecipe(std::string_view name);
const std::vector<Recipe>& Recipes();  // llama-quantize's, for GGUF
// Of other runtimes' formats: fp32, fp16, bf16, int4-npu, int8-qdq, w8a8, w4a16, qnn-..., int8,
// int4.
const std::vector<Recipe>& RuntimeRecipes();

// The options of int8 and int4, each at most once and in this order, so that a recipe has one
// spelling.
inline constexpr std::string_view kRecipeOptions =
    "-g16, -g64, -g128 or -g256, -asym, for int4 also -pure, and for onnx also "
    "-exact, -f16 and -web";

// A recipe's name becomes a folder's: 1 to 64 of a-z, 0-9, '_', '-' and '.', beginning with a
// letter or digit.
bool ValidRecipeName(std::string_view name);

}  // namespace quantfleet::pipeline
