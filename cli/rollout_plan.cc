#include "cli/rollout_plan.h"

#include <charconv>
#include <limits>

#include "cli/remote_format.h"

namespace quantfleet::cli {
namespace {

bool ParseCount(std::string_view text, uint32_t& out) {
  const auto result = std::from_chars(text.data(), text.data() + text.size(), out);
  return !text.empty() && result.ec == std::errc() && result.ptr == text.data() + text.size();
}

absl::StatusOr<uint32_t> ParseSeconds(std::string_view option, const std::string& text) {
  if (text.empty()) return uint32_t{0};
  const auto seconds = ParseDurationSeconds(text);
  if (!seconds.ok()) return InvalidArgument("{}: {}", option, Message(seconds.status()));
  return static_cast<uint32_t>(*seconds);  // ten years fit
}

absl::Status ReadMaxFailures(std::string_view text, v1::RolloutPlan& plan) {
  const bool percent = text.ends_with('%');
  uint32_t most = 0;
  if (!ParseCount(text.substr(0, text.size() - percent), most) || (percent && most > 100))
    return InvalidArgument(
        "--max-failures: '{}' is not a number of devices or a percentage: write 3 or 5%",
        Printable(text));
  if (percent)
    plan.set_max_failure_percent(most);
  else
    plan.set_max_failures(most);
  return absl::OkStatus();
}

absl::Status ReadOnFailure(std::string_view text, v1::RolloutPlan& plan) {
  if (text == "pause")
    plan.set_on_failure(v1::RolloutPlan::PAUSE);
  else if (text == "rollback")
    plan.set_on_failure(v1::RolloutPlan::ROLL_BACK);
  else if (text == "abort")
    plan.set_on_failure(v1::RolloutPlan::ABORT);
  else
    return InvalidArgument("--on-failure: '{}' is not one of pause, rollback, abort",
                           Printable(text));
  return absl::OkStatus();
}

bool TakesTheRest(const v1::RolloutPhase& phase) {
  return phase.percent() == 100 || (phase.count() == 0 && phase.percent() == 0 &&
                                    phase.labels().empty() && phase.group().empty());
}

}  // namespace

absl::StatusOr<v1::RolloutPhase> ParsePhase(std::string_view text) {
  const auto refuse = [text] {
    return InvalidArgument(
        "--phase: '{}' is not a phase: write 5, 10%, ring=early, group:NAME or rest",
        Printable(text));
  };
  v1::RolloutPhase phase;
  uint32_t number = 0;
  if (text == "rest") return phase;
  if (constexpr std::string_view kGroup = "group:"; text.starts_with(kGroup)) {
    if (text == kGroup) return refuse();
    phase.set_group(std::string(text.substr(kGroup.size())));
    return phase;
  }
  if (text.ends_with('%')) {
    if (!ParseCount(text.substr(0, text.size() - 1), number) || number < 1 || number > 100)
      return refuse();
    phase.set_percent(number);
  } else if (text.find('=') != std::string_view::npos) {
    for (std::string_view rest = text; !rest.empty();) {
      const size_t comma = rest.find(',');
      const auto label = ParseLabel(rest.substr(0, comma));
      if (!label.ok()) return refuse();
      (*phase.mutable_labels())[label->first] = label->second;
      rest = comma == std::string_view::npos ? "" : rest.substr(comma + 1);
    }
  } else {
    if (!ParseCount(text, number) || number == 0) return refuse();
    phase.set_count(number);
  }
  return phase;
}

absl::StatusOr<v1::RolloutPlan> MakePlan(const PlanOptions& options) {
  v1::RolloutPlan plan;
  for (const std::string& text : options.phases) {
    QF_ASSIGN_OR_RETURN(*plan.add_phases(), ParsePhase(text));
  }
  // The daemon adds the last phase by itself; here it gets its soak time and its gate.
  if (plan.phases().empty() || !TakesTheRest(*plan.phases().rbegin())) plan.add_phases();
  QF_ASSIGN_OR_RETURN(const uint32_t soak, ParseSeconds("--soak", options.soak));
  for (int i = 0; i < plan.phases_size(); ++i) {
    plan.mutable_phases(i)->set_soak_seconds(soak);
    plan.mutable_phases(i)->set_approval(options.approve && i > 0);
  }
  QF_ASSIGN_OR_RETURN(const uint32_t timeout,
                      ParseSeconds("--device-timeout", options.device_timeout));
  plan.set_device_timeout_seconds(timeout);
  QF_ASSIGN_OR_RETURN(const uint32_t jitter, ParseSeconds("--jitter", options.jitter));
  plan.set_jitter_seconds(jitter);
  plan.set_max_in_flight(options.max_in_flight);
  plan.set_min_executed(options.min_executed);
  plan.set_devices_per_minute(options.rate);
  plan.set_dynamic(options.dynamic);
  plan.set_priority(options.priority);
  if (options.min_top1_percent)
    plan.mutable_quality()->set_min_top1_agreement(*options.min_top1_percent / 100);
  if (options.max_kl) plan.mutable_quality()->set_max_kl(*options.max_kl);
  if (options.min_success >= 0)
    plan.set_success_percent(static_cast<uint32_t>(options.min_success));
  if (!options.max_failures.empty())
    QF_RETURN_IF_ERROR(ReadMaxFailures(options.max_failures, plan));
  if (!options.on_failure.empty()) QF_RETURN_IF_ERROR(ReadOnFailure(options.on_failure, plan));
  return plan;
}

std::string PhaseText(const v1::RolloutPhase& phase) {
  std::string text;
  if (phase.count() > 0)
    text = fmt::format("{} device{}", phase.count(), phase.count() == 1 ? "" : "s");
  else if (phase.percent() > 0)
    text = fmt::format("up to {} %", phase.percent());
  else if (!phase.group().empty())
    text = "group " + phase.group();
  for (const auto& [key, value] : phase.labels())
    text += fmt::format("{}{}={}", text.empty() ? "" : ",", key, value);
  if (text.empty()) text = "all the rest";
  if (phase.soak_seconds() > 0)
    text += ", soak " + HumanDuration(std::chrono::seconds(phase.soak_seconds()));
  if (phase.approval()) text += ", after approval";
  return text;
}

}  // namespace quantfleet::cli
