#include "daemon/jobs/step_up.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <set>

#include "daemon/jobs/job_target.h"
#include "pipeline/artifact/evaluation.h"
#include "pipeline/format/registry/registry.h"
#include "pipeline/recipe/recipe.h"
#include "pipeline/stage/exact_copy.h"
#include "pipeline/stage/plan.h"

namespace quantfleet::daemon {
namespace {

constexpr std::string_view kDigits = "0123456789";

// Of a recipe, as its name says: 4 of "q4_k_m", "int4-g64" and "iq4_nl"; 0: it does not say.
int BitsOf(std::string_view recipe) {
  const size_t at = std::min(recipe.find_first_of(kDigits), recipe.size());
  int bits = 0;
  std::from_chars(recipe.data() + at, recipe.data() + recipe.size(), bits);
  return bits;
}

// "q4_k_m" with 5 bits: "q5_k_m".
std::string WithBits(std::string_view recipe, int bits) {
  const size_t at = recipe.find_first_of(kDigits);
  const size_t end = std::min(recipe.find_first_not_of(kDigits, at), recipe.size());
  std::string_view rest = recipe.substr(end);
  constexpr std::string_view kPure = "-pure";  // of int4 alone
  std::string tail(rest.substr(0, rest.find(kPure)));
  if (const size_t pure = rest.find(kPure); pure != std::string_view::npos)
    tail += rest.substr(pure + kPure.size());
  return fmt::format("{}{}{}", recipe.substr(0, at), bits, tail);
}

// nullopt: the format cannot hold the model so.
std::optional<uint64_t> BytesOf(const pipeline::ModelSource& source,
                                const pipeline::TargetSpec& spec) {
  const auto plan = pipeline::MakePlan(source, {spec});
  if (!plan.ok()) return std::nullopt;
  uint64_t bytes = 0;
  for (const pipeline::OutputFile& file : plan->targets.front().layout.files) bytes += file.size;
  return bytes;
}

// The recipes of a format that have so many bits.
std::vector<std::string> RecipesWith(const pipeline::TargetFormat& format, int bits,
                                     std::string_view exact) {
  std::vector<std::string> recipes;
  for (const std::string_view name : format.recipes()) {
    const auto recipe = pipeline::FindRecipe(name);
    if (BitsOf(name) == bits && recipe.ok() && !recipe->as_is && !recipe->standard_operators)
      recipes.emplace_back(name);
  }
  // Of two kinds of half precision, that of the model's own weights.
  if (bits == 16 && std::ranges::count(recipes, exact) > 0) return {std::string(exact)};
  return recipes;
}

// The same with another recipe; what is not quantized is not calibrated, either.
std::string Larger(pipeline::TargetSpec target, std::string recipe) {
  target.recipe = std::move(recipe);
  if (!Quantizes(target)) {
    target.rounding = pipeline::Rounding::kNearest;
    target.calibrated = target.folded = false;
  }
  return JobTarget(target);
}

}  // namespace

std::optional<std::string> NextLarger(const pipeline::ModelSource& source, std::string_view format,
                                      std::string_view recipe, uint64_t bytes, uint64_t most) {
  const pipeline::TargetFormat* target = pipeline::FindFormat(format);
  const int own = BitsOf(recipe);
  if (target == nullptr || own == 0) return std::nullopt;
  const std::string_view exact = pipeline::ExactRecipe(source.description());
  std::set<int> levels;
  for (const std::string_view name : target->recipes())
    if (const int bits = BitsOf(name); bits > own && bits <= BitsOf(exact)) levels.insert(bits);
  for (const int bits : levels) {
    std::string alike = WithBits(recipe, bits);
    if (const auto size = BytesOf(source, pipeline::TargetSpec{std::string(format), alike});
        size && *size > bytes && *size <= most)
      return alike;
    std::optional<std::pair<uint64_t, std::string>> smallest;
    for (const std::string& name : RecipesWith(*target, bits, exact)) {
      const auto size = BytesOf(source, pipeline::TargetSpec{std::string(format), name});
      if (!size || *size <= bytes || *size > most) continue;
      if (std::pair candidate(*size, name); !smallest || candidate < *smallest)
        smallest = std::move(candidate);
    }
    if (smallest) return std::move(smallest->second);
  }
  return std::nullopt;
}

std::string TargetOf(const JobRecord& job, const DeviceClassSpec& spec) {
  // Of two of the same recipe, the one whose codes are chosen as the class says.
  const auto chosen = [&](const pipeline::TargetSpec& target) {
    return target.calibrated != spec.calibration.empty() &&
           (!target.calibrated || (target.rounding == spec.rounding && target.folded == spec.fold));
  };
  std::string target;
  for (const std::string& text : job.targets) {
    const auto parsed = ParseJobTarget(text);
    if (!parsed.ok() || parsed->format != spec.format || parsed->recipe != spec.recipe) continue;
    if (target.empty() || chosen(*parsed)) target = text;
  }
  for (const v1::StepUp& step : job.job.step_ups())
    if (step.device_class() == spec.name) target = step.to();
  return target;
}

std::vector<v1::StepUp> StepUpsOf(const JobRecord& job, const std::vector<DeviceClassSpec>& classes,
                                  const std::vector<MadeArtifact>& made,
                                  const pipeline::ModelSource& source) {
  std::vector<v1::StepUp> steps;
  for (const DeviceClassSpec& spec : classes) {
    if (!spec.step_up) continue;
    std::string now = TargetOf(job, spec);
    for (;;) {
      const auto artifact = std::ranges::find(made, now, &MadeArtifact::target);
      const auto target = ParseJobTarget(now);
      if (artifact == made.end() || !target.ok()) break;
      const v1::EvaluationStatement* evaluation = pipeline::PickEvaluation(
          artifact->evaluations, artifact->memory, spec.context.tokens(), spec.context.kv_type());
      if (evaluation == nullptr || evaluation->tokens() == 0) break;
      const auto why = WhyNotGoodEnough(spec.quality, evaluation);
      if (!why) break;
      const uint64_t most = spec.artifact_max_bytes == 0 ? std::numeric_limits<uint64_t>::max()
                                                         : spec.artifact_max_bytes;
      const auto next = NextLarger(source, target->format, target->recipe, artifact->bytes, most);
      v1::StepUp& step = steps.emplace_back();
      step.set_device_class(spec.name);
      step.set_from(now);
      step.set_reason(*why);
      if (!next && spec.artifact_max_bytes > 0)
        step.set_reason(fmt::format("{}; and larger ones have more than its {} bytes", *why,
                                    spec.artifact_max_bytes));
      if (!next) break;
      now = Larger(*target, *next);
      step.set_to(now);
    }
  }
  return steps;
}

std::vector<std::string> TargetsOf(const JobRecord& job) {
  std::vector<std::string> targets = job.targets;
  for (const v1::StepUp& step : job.job.step_ups())
    if (!step.to().empty() && std::ranges::count(targets, step.to()) == 0)
      targets.push_back(step.to());
  return targets;
}

std::vector<std::string> TargetsLeft(const JobRecord& job) {
  std::vector<std::string> targets = TargetsOf(job);
  const auto made = std::min(targets.size(), static_cast<size_t>(job.job.measured_size()));
  targets.erase(targets.begin(), targets.begin() + static_cast<ptrdiff_t>(made));
  return targets;
}

absl::StatusOr<std::vector<pipeline::TargetSpec>> TargetsNext(const JobRecord& job) {
  std::vector<pipeline::TargetSpec> next;
  for (const std::string& text : TargetsLeft(job)) {
    QF_ASSIGN_OR_RETURN(pipeline::TargetSpec spec, ParseJobTarget(text));
    if (!next.empty() && next.front().folded != spec.folded) break;
    next.push_back(std::move(spec));
  }
  return next;
}

absl::Status ChangeTargetsLeft(JobRecord& job,
                               const std::function<void(pipeline::TargetSpec&)>& change) {
  std::map<std::string, std::string, std::less<>> changed;
  for (const std::string& text : TargetsLeft(job)) {
    QF_ASSIGN_OR_RETURN(pipeline::TargetSpec spec, ParseJobTarget(text));
    change(spec);
    changed.emplace(text, JobTarget(spec));
  }
  const auto now = [&](const std::string& text) {
    const auto found = changed.find(text);
    return found == changed.end() ? text : found->second;
  };
  std::vector<std::string> targets;
  for (const std::string& text : job.targets)
    if (const std::string target = now(text); std::ranges::count(targets, target) == 0)
      targets.push_back(target);
  job.targets = std::move(targets);
  for (v1::StepUp& step : *job.job.mutable_step_ups()) {
    step.set_from(now(step.from()));
    step.set_to(now(step.to()));
  }
  return absl::OkStatus();
}

}  // namespace quantfleet::daemon
