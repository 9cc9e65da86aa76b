#include "pipeline/stage/mix_fit.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "pipeline/format/registry/registry.h"

namespace quantfleet::pipeline {
namespace {

// Formats write types into their headers, so that those differ by a few bytes from mix to mix.
constexpr int kTries = 40;

absl::StatusOr<Plan> PlanOf(const ModelSource& source, std::string_view format, Recipe recipe,
                            bool calibrated) {
  TargetSpec spec{.format = std::string(format), .recipe = recipe.name};
  spec.own = std::move(recipe);
  return PlanSizes(source, std::move(spec), calibrated);
}

// Options of the recipes for other runtimes, in every combination that has a name.
std::vector<std::string> NamesOf(const TargetFormat& format) {
  std::vector<std::string> names;
  for (const std::string_view name : format.recipes()) {
    const auto recipe = FindRecipe(name);
    // Operators for other runtimes than the format's usual ones, and other arithmetic.
    if (!recipe.ok() || recipe->standard_operators) continue;
    names.emplace_back(name);
    if (!format.group_options || (name != "int4" && name != "int8")) continue;
    for (const char* group : {"", "-g64", "-g128"})
      for (const char* zero : {"", "-asym"})
        for (const char* pure : {"", "-pure"})
          if (const std::string whole = fmt::format("{}{}{}{}", name, group, zero, pure);
              whole != name && FindRecipe(whole).ok())
            names.push_back(whole);
  }
  return names;
}

// The best mix of tensors of `left` bytes, and by how much its artifact exceeds the budget.
absl::StatusOr<std::pair<FittedMix, int64_t>> Size(const ModelSource& source, const MixTable& table,
                                                   std::string_view name, bool calibrated,
                                                   const MixBudget& budget, int64_t left) {
  QF_ASSIGN_OR_RETURN(TypeMix mix, SolveMix(table.tensors, static_cast<uint64_t>(left)));
  QF_ASSIGN_OR_RETURN(Recipe recipe, RecipeOf(name, table.TypesOf(mix)));
  QF_ASSIGN_OR_RETURN(const Plan plan, PlanOf(source, table.format, recipe, calibrated));
  QF_ASSIGN_OR_RETURN(const int64_t over, ExcessOf(plan, budget));
  return std::pair(FittedMix{std::move(mix), std::move(recipe), TargetBytes(plan.targets[0])},
                   over);
}

}  // namespace

absl::StatusOr<int64_t> ExcessOf(const Plan& plan, const MixBudget& budget) {
  auto excess = std::numeric_limits<int64_t>::min();
  if (budget.bytes > 0)
    excess =
        static_cast<int64_t>(TargetBytes(plan.targets[0])) - static_cast<int64_t>(budget.bytes);
  if (budget.run.device_bytes == 0) return excess;
  QF_ASSIGN_OR_RETURN(const std::vector<TargetRun> runs, RunsOf(plan, budget.run));
  return std::max(excess, static_cast<int64_t>(runs[0].need.total()) -
                              static_cast<int64_t>(budget.run.device_bytes));
}

void FillHarms(const PieceErrors& errors, std::span<const double> weights, MixTable& table) {
  for (size_t t = 0; t < table.tensors.size(); ++t)
    for (MixChoice& choice : table.tensors[t].choices) {
      choice.harm = 0;
      for (const uint32_t piece : table.pieces[t])
        choice.harm += weights[piece] * errors[piece].at(choice.type);
    }
}

absl::StatusOr<FittedMix> FitMix(const ModelSource& source, const MixTable& table,
                                 std::string_view name, bool calibrated, const MixBudget& budget) {
  QF_ASSIGN_OR_RETURN(const Plan some, PlanOf(source, table.format, table.some, calibrated));
  QF_ASSIGN_OR_RETURN(const int64_t excess, ExcessOf(some, budget));
  const auto least = static_cast<int64_t>(SmallestMix(table.tensors));
  // What harms least of all may fit; its header can be shorter than that of what is quantized.
  QF_ASSIGN_OR_RETURN(
      auto all, Size(source, table, name, calibrated, budget, std::numeric_limits<int64_t>::max()));
  if (all.second <= 0) return std::move(all.first);
  int64_t left = static_cast<int64_t>(table.some_bytes) - excess;
  std::optional<FittedMix> best;
  for (int tries = 0; tries < kTries && left >= least; ++tries) {
    QF_ASSIGN_OR_RETURN(auto sized, Size(source, table, name, calibrated, budget, left));
    auto& [fitted, over] = sized;
    const auto bytes = static_cast<int64_t>(fitted.mix.bytes);
    if (over > 0) {
      if (best) break;
      // Another mix may have more to say of itself: ever more is left free for it.
      left = bytes - over * (1 + tries / 4);
      continue;
    }
    if (best && fitted.mix.harm >= best->mix.harm) break;
    best = std::move(fitted);
    left = bytes - over;  // or less: there may be room for a better one
  }
  if (best) return *std::move(best);
  QF_ASSIGN_OR_RETURN(auto sized, Size(source, table, name, calibrated, budget, least));
  auto& [fitted, over] = sized;
  if (over <= 0) return std::move(fitted);
  return ResourceExhausted(
      "the smallest mix of this model in {} has {} bytes ({}), {} more than the budget allows",
      table.format, fitted.bytes, HumanBytes(fitted.bytes),
      HumanBytes(static_cast<uint64_t>(over)));
}

absl::StatusOr<std::optional<TargetSpec>> NearestNamed(const ModelSource& source,
                                                       std::string_view format, bool calibrated,
                                                       const MixBudget& budget) {
  const TargetFormat* found = FindFormat(format);
  if (found == nullptr) return InvalidArgument("there is no format '{}'", format);
  std::optional<TargetSpec> nearest;
  uint64_t most = 0;
  for (const std::string& name : NamesOf(*found)) {
    const TargetSpec spec{.format = std::string(format), .recipe = name};
    const auto plan = PlanSizes(source, spec, calibrated);
    if (!plan.ok()) continue;  // a type that this model or format does not hold
    QF_ASSIGN_OR_RETURN(const int64_t over, ExcessOf(*plan, budget));
    const uint64_t bytes = TargetBytes(plan->targets[0]);
    if (over > 0 || bytes <= most) continue;
    most = bytes;
    nearest = spec;
  }
  return nearest;
}

}  // namespace quantfleet::pipeline
