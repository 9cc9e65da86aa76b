// Recipe files and overrides: what is accepted gives every tensor a type that its rows can have,
// and says of itself what can be read again.
#include <cstdlib>

#include "pipeline/family/family.h"
#include "pipeline/recipe/recipe_file.h"

namespace pipeline = quantfleet::pipeline;

namespace {

void Require(bool condition) {
  if (!condition) std::abort();
}

void CheckTypes(const pipeline::Recipe& recipe) {
  pipeline::ModelDescription model;
  model.family = pipeline::FindFamily("llama");
  model.hyper.layers = 9;
  const pipeline::Role roles[] = {pipeline::Role::kAttnQ, pipeline::Role::kAttnK,
                                  pipeline::Role::kAttnV};
  for (const int64_t cols : {int64_t{44}, int64_t{96}, int64_t{512}}) {
    const pipeline::TargetTensor tensor{
        .name = "blk.1.attn_qkv.weight", .roles = roles, .layer = 1, .cols = cols, .dims = 2};
    Require(pipeline::Divides(recipe.TypeOf(model, tensor, true), cols));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  if (const auto recipe = pipeline::ParseRecipe(text, "input.toml"); recipe.ok()) {
    CheckTypes(*recipe);
    Require(pipeline::ValidRecipeName(recipe->name));
    for (const pipeline::TypeOverride& o : recipe->changes.overrides)
      Require(pipeline::TypeOverride::Parse(o.text()).ok());
  }
  if (const auto parsed = pipeline::TypeOverride::Parse(text); parsed.ok()) {
    pipeline::Recipe recipe = pipeline::Recipes().back();
    recipe.changes.overrides = {*parsed};
    CheckTypes(recipe);
  }
  return 0;
}
