#include "pipeline/recipe/recipe.h"

#include <algorithm>
#include <utility>

#include "pipeline/family/family.h"

namespace quantfleet::pipeline {
namespace {

// Layers whose most sensitive tensors a medium mix gives more bits: the first and the last eighth,
// and every third between.
bool MoreBits(int64_t layer, int64_t layers) {
  const int64_t eighth = layers / 8;
  return layer < eighth || layer >= 7 * layers / 8 || (layer - eighth) % 3 == 2;
}

// Models that llama.cpp takes for 70B: their v is shared by so many heads that it is small and
// matters.
bool SharesVWidely(const ModelDescription& model) {
  const Hyperparameters& h = model.hyper;
  const SeventyB kind = model.family->seventy_b;
  return h.layers == 80 &&
         (kind == SeventyB::kAll || (kind == SeventyB::kSharedKv && h.heads != h.kv_heads));
}

// As many experts make llama-quantize choose other types.
constexpr int64_t kFewExperts = 8;

bool IsIq4(DType type) { return type == DType::kIQ4_NL || type == DType::kIQ4_XS; }

bool IsIq3Medium(const Recipe& recipe) {
  return recipe.body == DType::kIQ3_S && recipe.mix == Mix::kMedium;
}

// Of recipes of two and three bits, in which most types are lifted: nullopt is the body's.
std::optional<DType> LiftedFew(const Recipe& recipe, DType of_q2, DType of_q3_m, DType of_q3_l) {
  if (recipe.body == DType::kQ2_K && recipe.mix == Mix::kMedium) return of_q2;
  if (recipe.body == DType::kQ3_K && recipe.mix == Mix::kMedium) return of_q3_m;
  if (recipe.body == DType::kQ3_K && recipe.mix == Mix::kLarge) return of_q3_l;
  return std::nullopt;
}

// More bits in some layers: of recipes of four and five bits.
bool IsMediumMix(const Recipe& recipe) {
  return recipe.mix == Mix::kMedium && (recipe.body == DType::kQ4_K || recipe.body == DType::kQ5_K);
}

DType TypeOfV(const ModelDescription& model, const Recipe& recipe, int64_t layer) {
  const Hyperparameters& h = model.hyper;
  // Rows of four bits: v is small, and harms most.
  if (recipe.body == DType::kI4_Row) return recipe.head;
  // Where at least so many heads share a v, it is small.
  const bool small = h.kv_heads > 0 && h.heads / h.kv_heads >= 4;
  DType type = recipe.body;
  if (IsMediumMix(recipe) && MoreBits(layer, h.layers)) type = DType::kQ6_K;
  if (recipe.mix == Mix::kSmall && recipe.body == DType::kQ4_K && layer < 4) type = DType::kQ5_K;
  if (IsIq4(recipe.body) && small) type = DType::kQ5_K;
  if (recipe.body == DType::kIQ3_S && (small || recipe.mix == Mix::kMedium)) type = DType::kQ4_K;
  type = LiftedFew(recipe, small ? DType::kQ4_K : DType::kQ3_K,
                   layer < 2 ? DType::kQ5_K : DType::kQ4_K, DType::kQ5_K)
             .value_or(type);
  const bool few = type == DType::kQ4_K || type == DType::kQ3_K;
  return few && SharesVWidely(model) ? DType::kQ5_K : type;
}

DType TypeOfDown(const ModelDescription& model, const Recipe& recipe, int64_t layer,
                 bool has_importance) {
  const bool early = layer < model.hyper.layers / 8;
  if (IsMediumMix(recipe) && MoreBits(layer, model.hyper.layers)) return DType::kQ6_K;
  if (recipe.mix == Mix::kSmall && recipe.body == DType::kQ4_K && early) return DType::kQ5_K;
  if (!has_importance && early && IsIq4(recipe.body)) return DType::kQ5_K;
  const bool few_experts = recipe.as_llama_cpp && model.hyper.experts == kFewExperts;
  if (IsIq3Medium(recipe) && (early || (few_experts && MoreBits(layer, model.hyper.layers))))
    return DType::kQ4_K;
  // With importance a scale without a minimum goes astray in the first layers.
  if (has_importance && early && recipe.body == DType::kQ4_0) return DType::kQ4_1;
  if (has_importance && early && recipe.body == DType::kQ5_0) return DType::kQ5_1;
  const bool earliest = layer < model.hyper.layers / 16;
  return LiftedFew(recipe, DType::kQ3_K, earliest ? DType::kQ5_K : DType::kQ4_K, DType::kQ5_K)
      .value_or(recipe.body);
}

// Beside few experts llama-quantize gives k and v, which are small there, more bits.
std::optional<DType> TypeBesideExperts(const Recipe& recipe, const TargetTensor& tensor) {
  if (tensor.Has(Role::kAttnV) || tensor.Has(Role::kAttnK)) return DType::kQ8_0;
  if (!tensor.Has(Role::kAttnOutput)) return std::nullopt;
  const bool few = recipe.body == DType::kQ2_K || recipe.body == DType::kQ3_K;
  const bool mixed = recipe.body == DType::kQ4_K && recipe.mix != Mix::kUniform;
  if (IsIq4(recipe.body) || recipe.body == DType::kIQ3_S || mixed ||
      (few && recipe.mix != Mix::kLarge))
    return DType::kQ5_K;
  return recipe.body;
}

bool IsExperts(const TargetTensor& tensor) {
  return tensor.Has(Role::kFfnGateExpert) || tensor.Has(Role::kFfnUpExpert) ||
         tensor.Has(Role::kFfnDownExpert);
}

// Takes the option from where `rest` begins, if it stands there.
bool Take(std::string_view option, std::string_view& rest) {
  if (!rest.starts_with(option)) return false;
  rest.remove_prefix(option.size());
  return true;
}

// As vLLM's models have it: neither the head nor an embedding is quantized.
Recipe Compressed(std::string_view name, DType body) {
  return {.name = std::string(name), .body = body, .head = DType::kF16, .embedding = DType::kF16};
}

std::optional<Recipe> WithOptions(std::string_view name) {
  std::string_view rest = name;
  const bool wide = rest.starts_with("int8-");
  if (!wide && !rest.starts_with("int4-")) return std::nullopt;
  rest.remove_prefix(4);
  int64_t group = 32;
  for (const int64_t other : {16, 64, 128, 256})
    if (Take(fmt::format("-g{}", other), rest)) {
      group = other;
      break;
    }
  const GroupZero zero = Take("-asym", rest) ? GroupZero::kPoint : GroupZero::kMiddle;
  Recipe recipe{.name = std::string(name),
                .body = GroupType({wide ? 8 : 4, group, zero}),
                .head = GroupType({8, group, zero})};
  recipe.changes.pure = !wide && Take("-pure", rest);  // int8's head has its body's type anyway
  recipe.exact = Take("-exact", rest);
  recipe.half = Take("-f16", rest);
  recipe.web = Take("-web", rest);
  recipe.base = name.substr(0, 4);
  return rest.empty() ? std::optional(std::move(recipe)) : std::nullopt;
}

}  // namespace

std::vector<std::string> RecipeChanges::Clauses() const {
  std::vector<std::string> clauses;
  if (pure) clauses.emplace_back("pure");
  if (output) clauses.push_back(fmt::format("output={}", Info(*output).name));
  if (embedding) clauses.push_back(fmt::format("embedding={}", Info(*embedding).name));
  for (const TypeOverride& o : overrides) clauses.push_back(o.text());
  return clauses;
}

std::vector<std::string> ClausesOf(const Recipe& recipe) {
  std::vector<std::string> clauses;
  if (!FindRecipe(recipe.name).ok()) {
    if (!recipe.base.empty()) {
      clauses.push_back(fmt::format("base={}", recipe.base));
    } else {
      clauses.push_back(fmt::format("body={}", Info(recipe.body).name));
      clauses.push_back(fmt::format("head={}", Info(recipe.head).name));
    }
  }
  std::ranges::move(recipe.changes.Clauses(), std::back_inserter(clauses));
  return clauses;
}

DType FallBack(DType type, int64_t cols) {
  if (Divides(type, cols)) return type;
  const DType other = Info(type).fallback;
  return Divides(other, cols) ? other : DType::kF16;
}

DType Recipe::TypeOf(const ModelDescription& model, const TargetTensor& tensor,
                     bool has_importance) const {
  if (tensor.dims == 1 || tensor.Has(Role::kFfnRouter)) return DType::kF32;
  return FallBack(AskedFor(model, tensor, has_importance), tensor.cols);
}

DType Recipe::AskedFor(const ModelDescription& model, const TargetTensor& tensor,
                       bool has_importance) const {
  const bool is_embedding = tensor.Has(Role::kTokenEmbedding);
  const bool is_head =
      tensor.Has(Role::kOutputHead) || (is_embedding && model.hyper.tied_embeddings);
  if (is_embedding && changes.embedding) return *changes.embedding;
  if (is_head && changes.output) return *changes.output;
  for (const TypeOverride& o : changes.overrides)
    if (o.Matches(tensor)) return o.type();
  // Few values, which every text adds: llama.cpp's converter and quantizer keep them, too.
  if (tensor.Has(Role::kPositionEmbedding) || tensor.Has(Role::kTokenTypes)) return DType::kF32;
  if (changes.pure) return body;
  if (is_head || (mix == Mix::kExpertsAlone && !IsExperts(tensor))) return head;
  if (is_embedding && embedding) return *embedding;
  if (as_llama_cpp && model.hyper.experts == kFewExperts && !IsFloat(body))
    if (const std::optional<DType> type = TypeBesideExperts(*this, tensor)) return *type;
  // A tensor that fuses q, k and v is as sensitive as v.
  if (tensor.Has(Role::kAttnV)) return TypeOfV(model, *this, tensor.layer);
  if (tensor.Has(Role::kFfnDown) || tensor.Has(Role::kFfnDownExpert))
    return TypeOfDown(model, *this, tensor.layer, has_importance);
  if (tensor.Has(Role::kAttnOutput) && IsIq3Medium(*this)) return DType::kQ4_K;
  if (tensor.Has(Role::kAttnOutput))
    return LiftedFew(*this, DType::kQ3_K, DType::kQ4_K, DType::kQ5_K).value_or(body);
  return body;
}

const std::vector<Recipe>& Recipes() {
  static const std::vector<Recipe> recipes = [] {
    std::vector<Recipe> all{
        {"f32", DType::kF32, DType::kF32},
        {"f16", DType::kF16, DType::kF16},
        {"bf16", DType::kBF16, DType::kBF16},
        {"q8_0", DType::kQ8_0, DType::kQ8_0},
        {"q6_k", DType::kQ6_K, DType::kQ6_K},
        {"q5_k_m", DType::kQ5_K, DType::kQ6_K, Mix::kMedium},
        {"q5_k_s", DType::kQ5_K, DType::kQ6_K, Mix::kSmall},
        {"q5_1", DType::kQ5_1, DType::kQ6_K},
        {"q5_0", DType::kQ5_0, DType::kQ6_K},
        {"q4_k_m", DType::kQ4_K, DType::kQ6_K, Mix::kMedium},
        {"q4_k_s", DType::kQ4_K, DType::kQ6_K, Mix::kSmall},
        {"q4_1", DType::kQ4_1, DType::kQ6_K},
        {"q4_0", DType::kQ4_0, DType::kQ6_K},
        {"iq4_nl", DType::kIQ4_NL, DType::kQ6_K},
        {"iq4_xs", DType::kIQ4_XS, DType::kQ6_K},
        {"q3_k_l", DType::kQ3_K, DType::kQ6_K, Mix::kLarge},
        {"q3_k_m", DType::kQ3_K, DType::kQ6_K, Mix::kMedium},
        {"q3_k_s", DType::kQ3_K, DType::kQ6_K, Mix::kSmall},
        {"iq3_m", DType::kIQ3_S, DType::kQ6_K, Mix::kMedium},
        {"iq3_s", DType::kIQ3_S, DType::kQ6_K, Mix::kSmall},
        {"q2_k", DType::kQ2_K, DType::kQ6_K, Mix::kMedium},
        {"mxfp4_moe", DType::kMXFP4, DType::kQ8_0, Mix::kExpertsAlone},
    };
    for (Recipe& recipe : all) recipe.as_llama_cpp = true;
    return all;
  }();
  return recipes;
}

const std::vector<Recipe>& RuntimeRecipes() {
  // An int4 head makes some models repeat themselves, so it keeps 8 bits.
  static const std::vector<Recipe> recipes{
      {"fp32", DType::kF32, DType::kF32},
      {"fp16", DType::kF16, DType::kF16},
      {"bf16", DType::kBF16, DType::kBF16},
      {.name = "int4-npu", .body = DType::kI4_G128, .head = DType::kI8_G128, .least_group = 64},
      {.name = "int8-qdq", .body = DType::kQ8_0, .head = DType::kQ8_0, .standard_operators = true},
      Compressed("w8a8", DType::kI8_Row),
      Compressed("w4a16", DType::kI4_G128),
      Compressed("w4a16-g64", DType::kI4_G64),
      Compressed("w4a16-g32", DType::kQ4_0),
      {.name = "qnn-a16w8", .body = DType::kI8_Row, .head = DType::kI8_Row, .activation_bits = 16},
      {.name = "qnn-a8w8", .body = DType::kI8_Row, .head = DType::kI8_Row, .activation_bits = 8},
      {.name = "qnn-a16w4",
       .body = DType::kI4_Row,
       .head = DType::kI8_Row,
       .embedding = DType::kI8_Row,
       .activation_bits = 16},
      {"int8", DType::kQ8_0, DType::kQ8_0},
      {"int4", DType::kQ4_0, DType::kQ8_0},
  };
  return recipes;
}

absl::StatusOr<Recipe> FindRecipe(std::string_view name) {
  if (name == kAsIsRecipe)
    return Recipe{
        .name = std::string(name), .body = DType::kF32, .head = DType::kF32, .as_is = true};
  std::string known;
  for (const std::vector<Recipe>* list : {&Recipes(), &RuntimeRecipes()}) {
    for (const Recipe& recipe : *list) {
      if (recipe.name == name) return recipe;
      if (list == &RuntimeRecipes() && recipe.name == "bf16") continue;  // told already
      known += (known.empty() ? "" : ", ") + recipe.name;
    }
  }
  if (std::optional<Recipe> recipe = WithOptions(name)) return *std::move(recipe);
  return NotFound("recipe '{}' does not exist; the recipes are {}, the last two also with {}", name,
                  known, kRecipeOptions);
}

bool ValidRecipeName(std::string_view name) {
  const auto plain = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  return !name.empty() && name.size() <= 64 && plain(name.front()) &&
         std::ranges::all_of(name,
                             [&](char c) { return plain(c) || c == '_' || c == '-' || c == '.'; });
}

}  // namespace quantfleet::pipeline
