// Plan files: the plan's fields by their names, phases and windows as tables.
#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

#include "common/base/outside_text.h"
#include "common/toml/toml_reader.h"
#include "daemon/rollout/plan.h"

namespace quantfleet::daemon {
namespace {

constexpr int64_t kMaxNumber = std::numeric_limits<int32_t>::max();
constexpr std::array<std::string_view, 7> kDays = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};

uint32_t Number(TomlReader& reader, std::string_view key, int64_t least = 0) {
  int64_t value = 0;
  reader.Read(key, value, least, kMaxNumber);
  return static_cast<uint32_t>(value);
}

// "22:30"; 24:00 is the end of the day.
absl::StatusOr<uint32_t> ParseMinute(std::string_view text) {
  const auto digits = [](std::string_view two, uint32_t& out) {
    const auto result = std::from_chars(two.data(), two.data() + two.size(), out);
    return two.size() == 2 && result.ec == std::errc() && result.ptr == two.data() + two.size();
  };
  uint32_t hours = 0, minutes = 0;
  const bool shaped = text.size() == 5 && text[2] == ':' && digits(text.substr(0, 2), hours) &&
                      digits(text.substr(3), minutes);
  if (!shaped || minutes > 59 || hours * 60 + minutes > 24 * 60)
    return InvalidArgument("'{}' is not a time of day: write it like 22:30", Shown(text, 32));
  return hours * 60 + minutes;
}

absl::StatusOr<v1::RolloutPhase> ReadPhase(TomlReader& reader) {
  v1::RolloutPhase phase;
  phase.set_count(Number(reader, "count", 1));
  phase.set_percent(Number(reader, "percent", 1));
  phase.set_soak_seconds(Number(reader, "soak_seconds"));
  bool approval = false;
  reader.Read("approval", approval);
  phase.set_approval(approval);
  std::string group;
  reader.Read("group", group);
  phase.set_group(group);
  Labels labels;
  reader.Read("labels", labels);
  for (const auto& [key, value] : labels) (*phase.mutable_labels())[key] = value;
  QF_RETURN_IF_ERROR(reader.Finish());
  return phase;
}

absl::StatusOr<v1::MaintenanceWindow> ReadWindow(TomlReader& reader) {
  v1::MaintenanceWindow window;
  std::vector<std::string> days;
  std::string from, to;
  reader.Read("days", days);
  reader.Require("from", from);
  reader.Require("to", to);
  QF_RETURN_IF_ERROR(reader.Finish());
  for (const std::string& day : days) {
    const auto found = std::ranges::find(kDays, day);
    if (found == kDays.end())
      return InvalidArgument("days: '{}' is not one of mon, tue, wed, thu, fri, sat, sun",
                             Shown(day, 32));
    window.add_weekdays(static_cast<uint32_t>(found - kDays.begin()) + 1);
  }
  QF_ASSIGN_OR_RETURN(const uint32_t start, ParseMinute(from));
  QF_ASSIGN_OR_RETURN(const uint32_t end, ParseMinute(to));
  window.set_start_minute(start);
  window.set_end_minute(end);
  return window;
}

absl::Status ReadOnFailure(TomlReader& reader, v1::RolloutPlan& plan) {
  std::string text = "pause";
  reader.Read("on_failure", text);
  if (text == "pause")
    plan.set_on_failure(v1::RolloutPlan::PAUSE);
  else if (text == "rollback")
    plan.set_on_failure(v1::RolloutPlan::ROLL_BACK);
  else if (text == "abort")
    plan.set_on_failure(v1::RolloutPlan::ABORT);
  else
    return InvalidArgument("on_failure: '{}' is not one of pause, rollback, abort",
                           Shown(text, 32));
  return absl::OkStatus();
}

absl::StatusOr<v1::RolloutPlan> ReadPlan(TomlReader& reader) {
  v1::RolloutPlan plan;
  plan.set_max_in_flight(Number(reader, "max_in_flight"));
  plan.set_min_executed(Number(reader, "min_executed"));
  plan.set_device_timeout_seconds(Number(reader, "device_timeout_seconds"));
  plan.set_devices_per_minute(Number(reader, "devices_per_minute"));
  plan.set_jitter_seconds(Number(reader, "jitter_seconds"));
  int64_t priority = 0;
  reader.Read("priority", priority, -kMaxPriority, kMaxPriority);
  plan.set_priority(static_cast<int32_t>(priority));
  int64_t limit = 0;
  if (reader.Read("success_percent", limit, 0, 100))
    plan.set_success_percent(static_cast<uint32_t>(limit));
  if (reader.Read("max_failures", limit, 0, kMaxNumber))
    plan.set_max_failures(static_cast<uint32_t>(limit));
  if (reader.Read("max_failure_percent", limit, 0, 100))
    plan.set_max_failure_percent(static_cast<uint32_t>(limit));
  bool dynamic = false;
  reader.Read("dynamic", dynamic);
  plan.set_dynamic(dynamic);
  QF_RETURN_IF_ERROR(ReadOnFailure(reader, plan));
  if (const v1::QualityLimits quality = ReadQuality(reader); quality.ByteSizeLong() > 0)
    *plan.mutable_quality() = quality;
  std::vector<TomlReader> phases, windows;
  reader.Read("phase", phases);
  reader.Read("window", windows);
  QF_RETURN_IF_ERROR(reader.Finish());
  for (size_t i = 0; i < phases.size(); ++i) {
    auto phase = ReadPhase(phases[i]);
    if (!phase.ok()) return Annotate(phase.status(), fmt::format("phase {}", i + 1));
    *plan.add_phases() = *std::move(phase);
  }
  for (size_t i = 0; i < windows.size(); ++i) {
    auto window = ReadWindow(windows[i]);
    if (!window.ok()) return Annotate(window.status(), fmt::format("window {}", i + 1));
    *plan.add_windows() = *std::move(window);
  }
  QF_RETURN_IF_ERROR(CheckPlan(plan));
  return plan;
}

}  // namespace

absl::StatusOr<v1::RolloutPlan> ParsePlan(std::string_view toml) {
  QF_ASSIGN_OR_RETURN(TomlReader reader, TomlReader::Parse(toml));
  auto plan = ReadPlan(reader);
  if (!plan.ok()) return Annotate(plan.status(), "rollout plan");
  return plan;
}

}  // namespace quantfleet::daemon
