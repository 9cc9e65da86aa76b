#include "pipeline/stage/plan.h"

#include <algorithm>

#include "pipeline/format/registry/registry.h"
#include "pipeline/recipe/recipe.h"
#include "pipeline/stage/executor.h"
#include "pipeline/stage/plan_chunks.h"

namespace quantfleet::pipeline {
namespace {

bool HasRecipe(const TargetFormat& format, std::string_view name) {
  const auto recipe = FindRecipe(name);
  if (!recipe.ok()) return false;
  if (recipe->as_is) return format.as_is;
  const bool of_graph = recipe->exact || recipe->half || recipe->web;
  const bool has_options = of_graph ? format.graph_options : format.group_options;
  if (!recipe->base.empty() && !has_options) return false;
  const std::vector<std::string_view> names = format.recipes();
  return std::ranges::find(names, recipe->base.empty() ? recipe->name : recipe->base) !=
         names.end();
}

absl::StatusOr<Recipe> RecipeOf(const TargetSpec& spec) {
  return spec.own ? *spec.own : FindRecipe(spec.recipe);
}

std::string FormatsAsTheyAre() {
  std::string names;
  for (const TargetFormat* format : Formats())
    if (format->as_is) names += fmt::format("{}{}", names.empty() ? "" : ", ", format->name);
  return names;
}

bool AreSame(const TargetSpec& a, const TargetSpec& b) {
  return a.name() == b.name() && a.rounding == b.rounding && a.calibrated == b.calibrated;
}

absl::Status CheckRounding(const TargetSpec& spec, const Calibration& calibration) {
  const bool weighs = spec.calibrated && calibration.importance != nullptr,
             feeds_back = spec.calibrated && calibration.moments != nullptr;
  if (spec.calibrated && !weighs)
    return InvalidArgument("target {}:{} is to be calibrated, but there is no importance",
                           spec.format, spec.recipe);
  if (spec.rounding == Rounding::kSearch && !weighs)
    return InvalidArgument("target {}:{}: rounding by search needs importance: give a calibration",
                           spec.format, spec.recipe);
  if (spec.rounding == Rounding::kFeedback && !feeds_back)
    return InvalidArgument(
        "target {}:{}: rounding with feedback needs second moments: give a calibration that has "
        "them, or round by search",
        spec.format, spec.recipe);
  return absl::OkStatus();
}

absl::StatusOr<TargetLayout> LayOut(const ModelSource& source, const TargetSpec& spec,
                                    const Calibration& calibration) {
  QF_ASSIGN_OR_RETURN(const Recipe recipe, RecipeOf(spec));
  const TargetFormat* format = FindFormat(spec.format);
  if (format == nullptr)
    return InvalidArgument("target format '{}' does not exist; the formats are {}", spec.format,
                           ListTargets());
  return format->plan(source, recipe, spec.calibrated ? &calibration : nullptr);
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

// Nothing, where nothing is asked for.
void HashRounding(const Plan& plan, const TargetSpec& spec, PlanHasher& hash) {
  if (!spec.calibrated && spec.rounding == Rounding::kNearest) return;
  hash.Text(spec.name());
  hash.Text(Name(spec.rounding));
  if (const Importance* importance = plan.ImportanceFor(spec)) hash.Text(importance->digest.raw());
  if (const SecondMoments* moments = plan.MomentsFor(spec)) hash.Text(moments->digest().raw());
}

}  // namespace

std::string ListTargets() {
  std::string list, without_options;
  std::string_view example;
  for (const TargetFormat* format : Formats()) {
    for (const std::string_view name : format->recipes())
      list += fmt::format("{}{}:{}", list.empty() ? "" : ", ", format->name, name);
    if (!format->group_options)
      without_options +=
          fmt::format("{} {}", without_options.empty() ? " but" : " and", format->name);
    else if (example.empty())
      example = format->name;
  }
  return list +
         fmt::format(
             "; {} (only {}): the source's own bytes; in all formats{}, int8 and int4 also with "
             "{}, such as {}:int4-g128-asym",
             kAsIsRecipe, FormatsAsTheyAre(), without_options, kRecipeOptions, example);
}

bool IsTargetFormat(std::string_view format) { return FindFormat(format) != nullptr; }

absl::StatusOr<TargetSpec> ParseTargetSpec(std::string_view text) {
  const size_t colon = text.find(':');
  if (colon != std::string_view::npos) {
    TargetSpec spec{std::string(text.substr(0, colon)), std::string(text.substr(colon + 1))};
    const TargetFormat* format = FindFormat(spec.format);
    if (format != nullptr && HasRecipe(*format, spec.recipe)) return spec;
  }
  return InvalidArgument("target '{}' does not exist; the targets are {}", text, ListTargets());
}

std::string WiderThanHalf(const TargetSpec& spec, const Piece& piece) {
  const TargetFormat* format = FindFormat(spec.format);
  return format == nullptr ? KeepIn("f32", piece)
                           : format->wider_than_half(RecipeOf(spec).value_or(Recipe()), piece);
}

absl::StatusOr<Plan> MakePlan(const ModelSource& source, const std::vector<TargetSpec>& targets,
                              Calibration calibration) {
  if (targets.empty()) return InvalidArgument("give at least one target: {}", ListTargets());
  std::vector<std::pair<TargetSpec, TargetLayout>> layouts;
  for (const TargetSpec& spec : targets) {
    if (std::ranges::any_of(layouts, [&](const auto& l) { return AreSame(l.first, spec); }))
      return InvalidArgument("target {}:{} is given more than once", spec.format, spec.recipe);
    QF_RETURN_IF_ERROR(CheckRounding(spec, calibration));
    QF_ASSIGN_OR_RETURN(TargetLayout layout, LayOut(source, spec, calibration));
    layouts.emplace_back(spec, std::move(layout));
  }
  QF_ASSIGN_OR_RETURN(Plan plan, PlanFromLayouts(source.description(), std::move(layouts)));
  plan.calibration = std::move(calibration);
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
  for (const TargetPlan& target : plan.targets) HashRounding(plan, target.spec, hash);
  if (plan.fold) hash.Text(plan.fold->digest.raw());
  return hash.Finish();
}

}  // namespace quantfleet::pipeline
