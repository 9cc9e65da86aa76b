#include "cli/rollout_text.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "cli/quality_text.h"
#include "cli/remote_format.h"
#include "cli/rollout_plan.h"
#include "common/base/bytes.h"

namespace quantfleet::cli {
namespace {

using v1::RolloutDevice;

// "artifacts/<64 hex digits>" as the 12 digits that `artifact show` takes.
std::string ShortArtifact(const std::string& name) {
  const size_t slash = name.find('/');
  return slash == std::string::npos ? name : name.substr(slash + 1, 12);
}

bool HasPhases(const v1::Rollout& rollout) { return rollout.plan().phases_size() > 1; }

std::string PhaseOf(const v1::Rollout& rollout) {
  const int count = rollout.plan().phases_size();
  if (static_cast<int>(rollout.phase()) >= count) return "";
  return fmt::format("{} of {} ({})", rollout.phase() + 1, count,
                     PhaseText(rollout.plan().phases(static_cast<int>(rollout.phase()))));
}

std::string StateOf(const v1::Rollout& rollout, Time now) {
  std::string text = v1::Rollout::State_Name(rollout.state());
  if (rollout.state() == v1::Rollout::SOAKING)
    text += ", ends " + Relative(rollout.soak_ends_ms(), now);
  return text;
}

// What the rollout assigns, with its size and what was measured of it; empty: not told.
std::string ArtifactsText(const v1::Rollout& rollout) {
  if (rollout.measured().empty()) return "";
  Table table({"ARTIFACT", "TARGET", ">SIZE", "QUALITY"});
  for (const v1::MeasuredArtifact& artifact : rollout.measured())
    table.Add({ShortArtifact(artifact.name()), artifact.format() + ":" + artifact.recipe(),
               HumanBytes(artifact.size_bytes()), QualityText(artifact)});
  return "\n" + table.ToString("");
}

std::string Seconds(double seconds) {
  return HumanDuration(Duration(static_cast<int64_t>(seconds * 1000)));
}

// What operators did to it.
std::string HistoryText(const v1::Rollout& rollout) {
  if (rollout.history_size() == 0) return "";
  Table table({"WHEN", "WHO", "WHAT", "REASON"});
  for (const v1::RolloutAction& action : rollout.history())
    table.Add({UtcTime(action.time_ms()), action.operator_(), action.action(), action.reason()});
  return "\n" + table.ToString("");
}

}  // namespace

std::string ShortReason(const RolloutDevice& device) {
  if (device.code() == RolloutDevice::CODE_UNSPECIFIED) return device.reason();
  return fmt::format("{}: {}", RolloutDevice::Code_Name(device.code()), device.reason());
}

std::string RolloutCounts(const v1::Rollout& rollout) {
  std::map<RolloutDevice::State, uint64_t> counts;
  for (const v1::RolloutCount& count : rollout.counts()) counts[count.state()] += count.devices();
  constexpr std::pair<RolloutDevice::State, const char*> kNames[] = {
      {RolloutDevice::HEALTHY, "healthy"},         {RolloutDevice::IN_PROGRESS, "in progress"},
      {RolloutDevice::PENDING, "pending"},         {RolloutDevice::QUEUED, "queued"},
      {RolloutDevice::FAILED, "failed"},           {RolloutDevice::ROLLING_BACK, "rolling back"},
      {RolloutDevice::ROLLED_BACK, "rolled back"}, {RolloutDevice::SKIPPED, "skipped"}};
  std::string text;
  for (const auto& [state, name] : kNames)
    if (counts[state] > 0)
      text += fmt::format("{}{} {}", text.empty() ? "" : ", ", counts[state], name);
  return text.empty() ? "no devices" : text;
}

std::string RolloutText(const v1::Rollout& rollout, Time now) {
  const int64_t end = rollout.finished_ms() ? rollout.finished_ms() : ToUnixMillis(now);
  std::vector<std::pair<std::string, std::string>> fields{
      {"name", rollout.name()},
      {"model", rollout.model()},
      {"version", VersionText(rollout.version())},
      {"state", StateOf(rollout, now)}};
  if (!rollout.reason().empty()) fields.emplace_back("reason", rollout.reason());
  if (HasPhases(rollout)) fields.emplace_back("phase", PhaseOf(rollout));
  if (rollout.plan().priority() != 0)
    fields.emplace_back("priority", fmt::format("{}", rollout.plan().priority()));
  fields.emplace_back("devices", RolloutCounts(rollout));
  fields.emplace_back("created", fmt::format("{} ({})", UtcTime(rollout.created_ms()),
                                             Relative(rollout.created_ms(), now)));
  fields.emplace_back(rollout.finished_ms() ? "took" : "running for",
                      HumanDuration(Duration(end - rollout.created_ms())));
  std::string text = Fields(fields) + ArtifactsText(rollout) + HistoryText(rollout);
  if (rollout.devices_size() == 0) return text;
  Table table({"DEVICE", "CLASS", ">PHASE", "ARTIFACT", ">RELEASE", "STATE", "REASON"});
  for (const RolloutDevice& device : rollout.devices())
    table.Add({device.device_id(), device.device_class(), fmt::format("{}", device.phase() + 1),
               ShortArtifact(device.artifact()), fmt::format("{}", device.release()),
               RolloutDevice::State_Name(device.state()), ShortReason(device)});
  return text + "\n" + table.ToString("");
}

std::string EstimateText(const v1::Rollout& rollout) {
  if (!rollout.has_estimate()) return "";
  return fmt::format("about {}: {}", Seconds(rollout.estimate().seconds()),
                     Join(rollout.estimate().notes(), "; "));
}

std::vector<std::string> LeftOutText(const v1::Rollout& rollout) {
  std::map<std::pair<std::string, RolloutDevice::Code>, std::vector<const RolloutDevice*>> left_out;
  for (const RolloutDevice& device : rollout.devices())
    if (device.state() == RolloutDevice::SKIPPED)
      left_out[{device.device_class(), device.code()}].push_back(&device);
  std::vector<std::string> lines;
  for (const auto& [why, devices] : left_out) {
    const RolloutDevice& first = *devices.front();
    const bool alike = std::ranges::all_of(devices, [&first](const RolloutDevice* device) {
      return device->reason() == first.reason();
    });
    lines.push_back(fmt::format(
        "{} device{} {}: {}{}", devices.size(), devices.size() == 1 ? "" : "s",
        why.first.empty() ? "without a class" : "of class " + why.first, ShortReason(first),
        alike ? "" : fmt::format(" (this is {}, and similar for the others)", first.device_id())));
  }
  return lines;
}

std::string DryRunText(const v1::Rollout& rollout) {
  uint64_t bytes = 0;
  Table table({">PHASE", "DEVICE", "CLASS", "ARTIFACT", ">BYTES", "MEMORY", "REASON"});
  Table phases({">PHASE", ">DEVICES", ">BYTES", ">TIME", "SELECTION"});
  for (int i = 0; i < rollout.plan().phases_size(); ++i) {
    uint64_t devices = 0, of_phase = 0;
    for (const RolloutDevice& device : rollout.devices()) {
      if (device.state() == RolloutDevice::SKIPPED || static_cast<int>(device.phase()) != i)
        continue;
      ++devices;
      of_phase += device.bytes();
      table.Add({fmt::format("{}", i + 1), device.device_id(), device.device_class(),
                 ShortArtifact(device.artifact()), HumanBytes(device.bytes()), device.memory(),
                 device.reason()});
    }
    const bool estimated = i < rollout.estimate().phases_size();
    phases.Add({fmt::format("{}", i + 1), fmt::format("{}", devices), HumanBytes(of_phase),
                estimated ? Seconds(rollout.estimate().phases(i).seconds()) : "-",
                PhaseText(rollout.plan().phases(i))});
    bytes += of_phase;
  }
  for (const RolloutDevice& device : rollout.devices())
    if (device.state() == RolloutDevice::SKIPPED)
      table.Add({"", device.device_id(), device.device_class(), "", "", "", ShortReason(device)});
  return phases.ToString("") + ArtifactsText(rollout) + "\n" + table.ToString("no devices yet") +
         fmt::format(
             "\nat most {} to download; what a device already has is not downloaded again\n",
             HumanBytes(bytes)) +
         (rollout.has_estimate() ? EstimateText(rollout) + "\n" : "");
}

}  // namespace quantfleet::cli
