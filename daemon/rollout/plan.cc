#include "daemon/rollout/plan.h"

#include <algorithm>

#include "common/base/digest.h"
#include "daemon/fleet/fleet.h"
#include "daemon/rollout/pace.h"

namespace quantfleet::daemon {
namespace {

using v1::RolloutDevice;
using v1::RolloutPhase;
using v1::RolloutPlan;

constexpr int kMaxPhases = 64, kMaxWindows = 64;
constexpr uint32_t kDaySeconds = 24 * 3600, kMaxSeconds = 366 * kDaySeconds;

bool IsRest(const RolloutPhase& phase) {
  return phase.count() == 0 && phase.percent() == 0 && phase.labels().empty() &&
         phase.group().empty();
}

// Whether the phase selects devices by labels or group, and this one belongs.
bool IsChosen(const RolloutPhase& phase, const Groups& groups, std::string_view device,
              const Labels& labels) {
  if (!phase.labels().empty()) return HasLabels(labels, phase.labels());
  const auto group = groups.find(phase.group());
  return group != groups.end() && Belongs(group->second, device, labels);
}

absl::Status CheckPhase(const RolloutPhase& phase, int number, bool last) {
  const int ways = (phase.count() > 0) + (phase.percent() > 0) + !phase.labels().empty() +
                   !phase.group().empty();
  if (ways > 1)
    return InvalidArgument("phase {}: give only one of a count, a percentage, labels or a group",
                           number);
  if (ways == 0 && !last)
    return InvalidArgument(
        "phase {}: only the last phase may take all the rest; give a count, a percentage, labels "
        "or a group",
        number);
  if (phase.percent() > 100)
    return InvalidArgument("phase {}: {} % of all devices; the maximum is 100", number,
                           phase.percent());
  if (phase.soak_seconds() > kMaxSeconds)
    return InvalidArgument("phase {}: soak_seconds: at most one year", number);
  if (phase.labels().size() > kMaxLabels)
    return InvalidArgument("phase {}: at most {} labels", number, kMaxLabels);
  if (phase.group().size() > kMaxLabelText)
    return InvalidArgument("phase {}: group: at most {} bytes", number, kMaxLabelText);
  for (const auto& [key, value] : phase.labels())
    if (key.empty() || key.size() > kMaxLabelText || value.size() > kMaxLabelText)
      return InvalidArgument(
          "phase {}: label keys must have 1 to {} bytes, and values at most as many", number,
          kMaxLabelText);
  return absl::OkStatus();
}

absl::Status CheckWindow(const v1::MaintenanceWindow& window, int number) {
  if (window.start_minute() >= kDayMinutes || window.end_minute() > kDayMinutes)
    return InvalidArgument("window {}: a day has only {} minutes", number, kDayMinutes);
  if (window.weekdays_size() > 7) return InvalidArgument("window {}: a week has 7 days", number);
  for (const uint32_t day : window.weekdays())
    if (day < 1 || day > 7)
      return InvalidArgument("window {}: weekdays are numbered from 1 (Monday) to 7", number);
  return absl::OkStatus();
}

absl::Status CheckQuality(const v1::QualityLimits& limits) {
  const auto within = [](double value, double highest) { return value >= 0 && value <= highest; };
  if (!within(limits.min_top1_agreement(), 1))
    return InvalidArgument("quality.min_top1_agreement: must be from 0 to 1");
  for (const double nats : {limits.max_nll_increase(), limits.max_kl(), limits.max_kl_p99()})
    if (!within(nats, 100)) return InvalidArgument("quality: limits in nats must be from 0 to 100");
  return absl::OkStatus();
}

// Spread evenly, and the same at each call.
uint64_t Lot(std::string_view purpose, std::string_view rollout, std::string_view device) {
  const std::string hash = HashText(fmt::format("{}/{}/{}", purpose, rollout, device)).raw();
  uint64_t lot = 0;
  for (size_t i = 0; i < sizeof(lot); ++i) lot = lot << 8 | static_cast<unsigned char>(hash[i]);
  return lot;
}

uint32_t Delay(const RolloutPlan& plan, std::string_view rollout, std::string_view device) {
  const uint64_t most = uint64_t{plan.jitter_seconds()} * 1000;
  return most == 0 ? 0 : static_cast<uint32_t>(Lot("delay", rollout, device) % most);
}

}  // namespace

absl::Status CheckPlan(const RolloutPlan& plan) {
  QF_RETURN_IF_ERROR(CheckQuality(plan.quality()));
  if (plan.phases_size() > kMaxPhases)
    return InvalidArgument("a plan has at most {} phases", kMaxPhases);
  for (int i = 0; i < plan.phases_size(); ++i)
    QF_RETURN_IF_ERROR(CheckPhase(plan.phases(i), i + 1, i + 1 == plan.phases_size()));
  uint32_t before = 0;
  for (const RolloutPhase& phase : plan.phases()) {
    if (phase.percent() == 0) continue;
    if (phase.percent() <= before)
      return InvalidArgument(
          "a phase of {} % follows one of {} %: percentages include earlier phases and must "
          "increase",
          phase.percent(), before);
    before = phase.percent();
  }
  if (plan.success_percent() > 100) return InvalidArgument("success_percent: at most 100");
  if (plan.max_failure_percent() > 100) return InvalidArgument("max_failure_percent: at most 100");
  if (!RolloutPlan::OnFailure_IsValid(plan.on_failure()))
    return InvalidArgument("on_failure: unknown value");
  if (plan.device_timeout_seconds() > kMaxSeconds)
    return InvalidArgument("device_timeout_seconds: at most one year");
  if (plan.jitter_seconds() > kDaySeconds)
    return InvalidArgument("jitter_seconds: at most one day");
  if (plan.priority() < -kMaxPriority || plan.priority() > kMaxPriority)
    return InvalidArgument("priority: must be from {} to {}", -kMaxPriority, kMaxPriority);
  if (plan.windows_size() > kMaxWindows)
    return InvalidArgument("a plan has at most {} windows", kMaxWindows);
  for (int i = 0; i < plan.windows_size(); ++i)
    QF_RETURN_IF_ERROR(CheckWindow(plan.windows(i), i + 1));
  return absl::OkStatus();
}

RolloutPlan CompletePlan(RolloutPlan plan) {
  const bool whole = plan.phases_size() > 0 &&
                     (IsRest(*plan.phases().rbegin()) || plan.phases().rbegin()->percent() == 100);
  if (!whole) plan.add_phases();
  if (plan.device_timeout_seconds() == 0) plan.set_device_timeout_seconds(kDaySeconds);
  return plan;
}

std::set<std::string> GroupsOf(const RolloutPlan& plan) {
  std::set<std::string> names;
  for (const RolloutPhase& phase : plan.phases())
    if (!phase.group().empty()) names.insert(phase.group());
  return names;
}

void PutInPhases(const RolloutPlan& plan, std::string_view rollout, const Groups& groups,
                 const std::map<std::string, Labels>& labels, std::vector<RolloutDevice>& rows) {
  std::vector<std::pair<uint64_t, RolloutDevice*>> left;
  for (RolloutDevice& row : rows) {
    if (row.state() != RolloutDevice::QUEUED) continue;
    row.set_delay_ms(Delay(plan, rollout, row.device_id()));
    left.emplace_back(Lot("order", rollout, row.device_id()), &row);
  }
  std::ranges::sort(left, {}, [](const auto& entry) {
    return std::pair(entry.first, entry.second->device_id());
  });
  const size_t all = left.size();
  const auto take = [&left](size_t n, uint32_t phase) {
    n = std::min(n, left.size());
    for (size_t i = 0; i < n; ++i) left[i].second->set_phase(phase);
    left.erase(left.begin(), left.begin() + static_cast<ptrdiff_t>(n));
  };
  for (int i = 0; i < plan.phases_size(); ++i) {
    const RolloutPhase& phase = plan.phases(i);
    const auto number = static_cast<uint32_t>(i);
    if (i + 1 == plan.phases_size()) {
      take(left.size(), number);
    } else if (!phase.labels().empty() || !phase.group().empty()) {
      decltype(left) chosen, others;
      for (const auto& entry : left) {
        const std::string& id = entry.second->device_id();
        (IsChosen(phase, groups, id, labels.at(id)) ? chosen : others).push_back(entry);
      }
      for (const auto& [lot, row] : chosen) row->set_phase(number);
      left = std::move(others);
    } else if (phase.count() > 0) {
      take(phase.count(), number);
    } else {
      // Rounded up: a percentage of few devices is at least one.
      const size_t goal = (all * phase.percent() + 99) / 100, done = all - left.size();
      take(goal > done ? goal - done : 0, number);
    }
  }
}

void PutInPhase(const RolloutPlan& plan, std::string_view rollout, const Groups& groups,
                const Labels& labels, RolloutDevice& row) {
  row.set_delay_ms(Delay(plan, rollout, row.device_id()));
  row.set_phase(static_cast<uint32_t>(std::max(0, plan.phases_size() - 1)));
  for (int i = 0; i < plan.phases_size(); ++i) {
    if (!IsChosen(plan.phases(i), groups, row.device_id(), labels)) continue;
    row.set_phase(static_cast<uint32_t>(i));
    return;
  }
}

}  // namespace quantfleet::daemon
