#include "daemon/jobs/job_target.h"

#include "pipeline/artifact/manifest.h"
#include "pipeline/recipe/recipe.h"
#include "pipeline/tensor/traits.h"

namespace quantfleet::daemon {

std::string JobTarget(const pipeline::TargetSpec& spec) {
  return fmt::format("{}:{}{}{}", spec.format, spec.recipe, spec.calibrated ? "+" : "",
                     spec.calibrated ? pipeline::Name(spec.rounding) : "");
}

absl::StatusOr<pipeline::TargetSpec> ParseJobTarget(std::string_view text) {
  const size_t plus = text.find('+');
  QF_ASSIGN_OR_RETURN(pipeline::TargetSpec spec, pipeline::ParseTargetSpec(text.substr(0, plus)));
  if (plus == std::string_view::npos) return spec;
  QF_ASSIGN_OR_RETURN(spec.rounding, pipeline::RoundingFromName(text.substr(plus + 1)));
  spec.calibrated = true;
  return spec;
}

std::string JobTargetOf(const v1::Manifest& manifest) {
  const v1::Target& target = manifest.target();
  pipeline::TargetSpec spec{target.format(), target.recipe()};
  spec.calibrated = !target.importance_digest().empty();
  if (spec.calibrated)
    spec.rounding =
        pipeline::RoundingFromName(pipeline::RoundingOf(manifest)).value_or(spec.rounding);
  return JobTarget(spec);
}

bool Quantizes(const pipeline::TargetSpec& spec) {
  const auto recipe = pipeline::FindRecipe(spec.recipe);
  return recipe.ok() && !recipe->as_is && !pipeline::IsFloat(recipe->body);
}

}  // namespace quantfleet::daemon
