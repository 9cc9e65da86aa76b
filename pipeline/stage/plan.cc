#include "pipeline/stage/plan.h"

#include <algorithm>

#include "pipeline/format/gguf/write/gguf_target.h"
#include "pipeline/format/mlx/mlx_target.h"
#include "pipeline/format/onnx/onnx_target.h"
#include "pipeline/format/openvino/openvino_target.h"
#include "pipeline/recipe/recipe.h"
#include "pipeline/stage/executor.h"
#include "pipeline/stage/plan_chunks.h"

namespace quantfleet::pipeline {
namespace {

constexpr std::string_view kFormats[] = {"gguf", "onnx", "openvino", "mlx"};

// The names that a format's targets have; empty: no such format.
std::vector<std::string> RecipeNames(std::string_view format) {
  if (format == "onnx") return {"fp32", "fp16", "int8", "int4", "int8-qdq"};
  if (format == "openvino") return {"fp16", "int8", "int4"};
  if (format == "mlx") return {"fp16", "bf16", "int8", "int4"};
  std::vector<std::string> names;
  if (format == "gguf")
    for (const Recipe& recipe : Recipes()) names.push_back(recipe.name);
  return names;
}

// GGUF's types are ggml's own, with names of their own; how products are calculated is a choice of
// ONNX alone.
bool HasOptions(std::string_view format, const Recipe& recipe) {
  return recipe.exact ? format == "onnx" : format != "gguf";
}

bool HasRecipe(std::string_view format, std::string_view name) {
  const auto recipe = FindRecipe(name);
  if (!recipe.ok() || (!recipe->base.empty() && !HasOptions(format, *recipe))) return false;
  const std::vector<std::string> names = RecipeNames(format);
  return std::ranges::find(names, recipe->base.empty() ? recipe->name : recipe->base) !=
         names.end();
}

absl::StatusOr<Recipe> RecipeOf(const TargetSpec& spec) {
  return spec.own ? *spec.own : FindRecipe(spec.recipe);
}

absl::StatusOr<TargetLayout> LayOut(const ModelSource& source, const TargetSpec& spec,
                                    bool has_importance) {
  QF_ASSIGN_OR_RETURN(const Recipe recipe, RecipeOf(spec));
  if (spec.format == "gguf")
    return PlanGguf(source.description(), source.attachments(), recipe, has_importance);
  if (spec.format == "onnx") return PlanOnnx(source, recipe);
  if (spec.format == "openvino") return PlanOpenVino(source, recipe);
  if (spec.format == "mlx") return PlanMlx(source, recipe);
  return InvalidArgument("there is no target format '{}'; there are {}", spec.format,
                         ListTargets());
}

// Feeds values to a digest so that no two sequences of them give the same bytes.
class PlanHasher {
 public:
  void Number(uint64_t value) { hash_.Update(std::as_bytes(std::span(&value, 1))); }
  void Text(std::string_view text) {
    Number(text.size());
    hash_.Update(AsBytes(text));
  }
  Digest Finish() { return hash_.Finish(); }

 private:
  Sha256 hash_;
};

void HashTarget(const TargetPlan& target, PlanHasher& hash) {
  hash.Text(target.spec.format);
  hash.Text(target.spec.recipe);
  const std::vector<std::string> clauses = target.spec.clauses();
  hash.Number(clauses.size());
  for (const std::string& clause : clauses) hash.Text(clause);
  hash.Text(target.layout.memory.SerializeAsString());
  hash.Number(target.layout.files.size());
  for (const OutputFile& file : target.layout.files) {
    hash.Text(file.path);
    hash.Number(file.size);
    hash.Number(file.fixed.size());
    for (const FixedBytes& fixed : file.fixed) {
      hash.Number(fixed.offset);
      hash.Text(fixed.bytes);
    }
  }
  hash.Number(target.layout.pieces.size());
  for (const PlacedPiece& p : target.layout.pieces) {
    for (const uint64_t n :
         {uint64_t{p.piece}, uint64_t{p.file}, p.offset, static_cast<uint64_t>(p.dtype),
          static_cast<uint64_t>(p.order), uint64_t{p.padding}, static_cast<uint64_t>(p.part)})
      hash.Number(n);
    hash.Text(p.tensor);
  }
  hash.Number(target.chunks.size());
  for (const PlannedChunk& c : target.chunks)
    for (const uint64_t n :
         {uint64_t{c.file}, c.offset, uint64_t{c.size}, static_cast<uint64_t>(c.piece),
          static_cast<uint64_t>(c.first_row), static_cast<uint64_t>(c.rows)})
      hash.Number(n);
}

}  // namespace

std::string ListTargets() {
  std::string list;
  for (const std::string_view format : kFormats)
    for (const std::string& name : RecipeNames(format))
      list += fmt::format("{}{}:{}", list.empty() ? "" : ", ", format, name);
  return list + fmt::format("; int8 and int4 of all but gguf also with {}, as onnx:int4-g128-asym",
                            kRecipeOptions);
}

bool IsTargetFormat(std::string_view format) {
  return std::ranges::find(kFormats, format) != std::end(kFormats);
}

absl::StatusOr<TargetSpec> ParseTargetSpec(std::string_view text) {
  const size_t colon = text.find(':');
  if (colon != std::string_view::npos) {
    TargetSpec spec{std::string(text.substr(0, colon)), std::string(text.substr(colon + 1))};
    if (HasRecipe(spec.format, spec.recipe)) return spec;
  }
  return InvalidArgument("there is no target '{}'; there are {}", text, ListTargets());
}

std::string WiderThanHalf(const TargetSpec& spec, const Piece& piece) {
  // Norms and biases of MLX have the folder's float type, whatever is said of them; of onnx:fp16
  // everything has.
  if (spec.format == "mlx" && piece.dims == 1) return "take mlx:bf16";
  const auto recipe = RecipeOf(spec);
  if (spec.format == "onnx" && recipe.ok() && recipe->body == DType::kF16) return "take onnx:fp32";
  const bool has_bf16 = spec.format == "gguf" || spec.format == "mlx";
  return fmt::format("keep it in {0} (--tensor-type role:{1}={0})", has_bf16 ? "bf16" : "f32",
                     Name(piece.role));
}

absl::StatusOr<Plan> MakePlan(const ModelSource& source, const std::vector<TargetSpec>& targets,
                              std::shared_ptr<const Importance> importance) {
  if (targets.empty()) return InvalidArgument("name at least one target: {}", ListTargets());
  std::vector<std::pair<TargetSpec, TargetLayout>> layouts;
  for (const TargetSpec& spec : targets) {
    if (std::ranges::any_of(layouts, [&](const auto& l) { return l.first.name() == spec.name(); }))
      return InvalidArgument("target {}:{} is asked for twice", spec.format, spec.recipe);
    QF_ASSIGN_OR_RETURN(TargetLayout layout, LayOut(source, spec, importance != nullptr));
    layouts.emplace_back(spec, std::move(layout));
  }
  QF_ASSIGN_OR_RETURN(Plan plan, PlanFromLayouts(source.description(), std::move(layouts)));
  plan.importance = std::move(importance);
  return plan;
}

Digest PlanDigest(const Plan& plan) {
  PlanHasher hash;
  hash.Number(plan.targets.size());
  for (const TargetPlan& target : plan.targets) HashTarget(target, hash);
  hash.Number(plan.slabs.size());
  for (const Slab& slab : plan.slabs)
    for (const uint64_t n : {uint64_t{slab.piece}, static_cast<uint64_t>(slab.first_row),
                             static_cast<uint64_t>(slab.rows)})
      hash.Number(n);
  hash.Number(plan.source_bytes);
  if (plan.importance) hash.Text(plan.importance->digest.raw());
  return hash.Finish();
}

}  // namespace quantfleet::pipeline
