#include "daemon/jobs/class_bytes.h"

#include <algorithm>

#include "common/base/bytes.h"
#include "daemon/jobs/job_target.h"
#include "daemon/jobs/step_up.h"
#include "pipeline/stage/mix_fit.h"
#include "pipeline/stage/plan_text.h"

namespace quantfleet::daemon {
namespace {

// Unset: the target of the class is within its bytes.
absl::StatusOr<v1::StepUp> StepOf(const DeviceClassSpec& spec, const std::string& target,
                                  const pipeline::ModelSource& source) {
  v1::StepUp step;
  QF_ASSIGN_OR_RETURN(pipeline::TargetSpec own, ParseJobTarget(target));
  QF_ASSIGN_OR_RETURN(const pipeline::Plan plan, pipeline::PlanSizes(source, own, own.calibrated));
  const uint64_t bytes = pipeline::TargetBytes(plan.targets.front());
  if (bytes <= spec.artifact_max_bytes) return step;
  const std::string why = fmt::format("its files have {} ({} bytes), the class allows {} bytes",
                                      HumanBytes(bytes), bytes, spec.artifact_max_bytes);
  QF_ASSIGN_OR_RETURN(const auto nearest,
                      pipeline::NearestNamed(source, spec.format, own.calibrated,
                                             {.bytes = spec.artifact_max_bytes}));
  if (!nearest)
    return FailedPrecondition(
        "device class {}: {}: {} (artifact_max_bytes), and no other recipe of {} makes so few of "
        "this "
        "model: allow more, or use a smaller model",
        spec.name, target, why, spec.format);
  own.recipe = nearest->recipe;
  step.set_device_class(spec.name);
  step.set_from(target);
  step.set_to(JobTarget(own));
  step.set_reason(why);
  step.set_smaller(true);
  return step;
}

}  // namespace

absl::Status KeepWithinBytes(const std::vector<DeviceClassSpec>& classes,
                             const pipeline::ModelSource& source, JobRecord& job) {
  std::vector<v1::StepUp> steps;
  for (const DeviceClassSpec& spec : classes) {
    const std::string target = TargetOf(job, spec);
    if (spec.artifact_max_bytes == 0 || target.empty()) continue;
    QF_ASSIGN_OR_RETURN(v1::StepUp step, StepOf(spec, target, source));
    if (!step.to().empty()) steps.push_back(std::move(step));
  }
  if (steps.empty()) return absl::OkStatus();
  job.job.mutable_step_ups()->Add(steps.begin(), steps.end());
  // In place of what no class takes any more.
  const auto taken = [&](const std::string& target) {
    return std::ranges::any_of(
        classes, [&](const DeviceClassSpec& spec) { return TargetOf(job, spec) == target; });
  };
  std::vector<std::string> targets;
  const auto add = [&](const std::string& target) {
    if (std::ranges::count(targets, target) == 0) targets.push_back(target);
  };
  for (const std::string& target : job.targets) {
    if (taken(target)) add(target);
    for (const v1::StepUp& step : steps)
      if (step.from() == target) add(step.to());
  }
  job.targets = std::move(targets);
  return absl::OkStatus();
}

}  // namespace quantfleet::daemon
