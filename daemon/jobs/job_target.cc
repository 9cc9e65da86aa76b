#include "daemon/jobs/job_target.h"

#include <algorithm>

#include "pipeline/artifact/manifest.h"
#include "pipeline/recipe/recipe.h"
#include "pipeline/tensor/traits.h"

namespace quantfleet::daemon {
namespace {

constexpr std::string_view kFolded = "+fold";

}  // namespace

std::string JobTarget(const pipeline::TargetSpec& spec) {
  std::string text = fmt::format("{}:{}", spec.format, spec.recipe);
  if (!spec.calibrated) return text;
  text.append("+").append(pipeline::Name(spec.rounding));
  return spec.folded ? text.append(kFolded) : text;
}

absl::StatusOr<pipeline::TargetSpec> ParseJobTarget(std::string_view text) {
  const size_t plus = text.find('+');
  QF_ASSIGN_OR_RETURN(pipeline::TargetSpec spec, pipeline::ParseTargetSpec(text.substr(0, plus)));
  if (plus == std::string_view::npos) return spec;
  spec.calibrated = true;
  spec.folded = text.ends_with(kFolded);
  if (spec.folded) text.remove_suffix(kFolded.size());
  QF_ASSIGN_OR_RETURN(spec.rounding,
                      pipeline::RoundingFromName(text.substr(std::min(plus + 1, text.size()))));
  return spec;
}

std::string JobTargetOf(const v1::Manifest& manifest) {
  const v1::Target& target = manifest.target();
  pipeline::TargetSpec spec{target.format(), target.recipe()};
  spec.calibrated = !target.importance_digest().empty();
  if (spec.calibrated)
    spec.rounding =
        pipeline::RoundingFromName(pipeline::RoundingOf(manifest)).value_or(spec.rounding);
  spec.folded = pipeline::IsFolded(manifest);
  return JobTarget(spec);
}

bool Quantizes(const pipeline::TargetSpec& spec) {
  const auto recipe = pipeline::FindRecipe(spec.recipe);
  return recipe.ok() && !recipe->as_is && !pipeline::IsFloat(recipe->body);
}

}  // namespace quantfleet::daemon
