// What a rollout is when it begins: its artifacts, its devices, and their phases.
#include <algorithm>

#include "common/base/fail_point.h"
#include "daemon/fleet/fleet.h"
#include "daemon/fleet/measured.h"
#include "daemon/rollout/estimate.h"
#include "daemon/rollout/plan.h"
#include "daemon/rollout/rollouts.h"
#include "daemon/trust/evaluation.h"
#include "pipeline/artifact/manifest.h"
#include "pipeline/artifact/memory.h"
#include "quantfleet/v1/manifest.pb.h"

namespace quantfleet::daemon {
namespace {

using v1::RolloutDevice;

constexpr size_t kPage = 1000, kReasonsShown = 3, kMaxText = 256;
constexpr size_t kRecorded = 1000;  // how many devices make up the fleet's record

absl::Status CheckRequest(const Rollouts::CreateRequest& request) {
  if (request.request_id.size() > kMaxText)
    return InvalidArgument("request_id: at most {} bytes", kMaxText);
  if (request.group.size() > kMaxText) return InvalidArgument("group: at most {} bytes", kMaxText);
  if (request.model.empty()) return InvalidArgument("model is missing");
  if (request.selector.size() > kMaxLabels)
    return InvalidArgument("selector: at most {} labels", kMaxLabels);
  if (request.plan.dynamic() && !request.device_ids.empty())
    return InvalidArgument(
        "a dynamic rollout also takes devices that appear later: give a selector or a group "
        "instead of device ids");
  if (request.plan.has_quality() &&
      pipeline::KindOfModel(request.model) == pipeline::ArtifactKind::kProgram)
    return InvalidArgument("quality: an agent is a program, whose quality is not measured");
  return CheckPlan(request.plan);
}

}  // namespace

std::string SeedOf(const v1::Rollout& rollout) {
  std::string seed = rollout.model();
  for (const std::string& artifact : rollout.artifacts()) seed += " " + artifact;
  return seed;
}

namespace {

bool BelongsTo(const v1::Artifact& artifact, uint64_t version) {
  const auto& versions = artifact.versions();
  return std::ranges::find(versions, version) != versions.end();
}

// An artifact of each format, recipe, rounding and fold, the first in `candidates`, with what a
// match asks for.
absl::StatusOr<std::vector<OfferedArtifact>> Offer(const Transaction& tx,
                                                   const std::vector<v1::Artifact>& candidates) {
  std::set<std::tuple<std::string, std::string, std::string, bool>> taken;
  std::vector<OfferedArtifact> chosen;
  for (const v1::Artifact& artifact : candidates) {
    QF_ASSIGN_OR_RETURN(const ArtifactRecord record, tx.artifacts().Get(artifact.name()));
    v1::Manifest manifest;
    if (!manifest.ParseFromString(record.manifest))
      return DataLoss("the manifest of {0} is damaged: run `quantfleet artifact repair {0}`",
                      artifact.name());
    std::string rounding = pipeline::RoundingOf(manifest);
    const bool folded = pipeline::IsFolded(manifest);
    if (!taken.emplace(artifact.format(), artifact.recipe(), rounding, folded).second) continue;
    OfferedArtifact one{
        .artifact = artifact, .memory = pipeline::MemoryOf(manifest), .instruction_sets = {}};
    one.kind = pipeline::KindOf(manifest);
    one.rounding = std::move(rounding);
    one.folded = folded;
    one.evaluations = EvaluationsIn(record.statements);
    one.instruction_sets.assign(manifest.requirements().instruction_sets().begin(),
                                manifest.requirements().instruction_sets().end());
    chosen.push_back(std::move(one));
  }
  return chosen;
}

// Those of `all` that the request names; they must not exclude each other.
absl::StatusOr<std::vector<v1::Artifact>> Named(const Transaction& tx,
                                                const Rollouts::CreateRequest& request,
                                                const std::vector<v1::Artifact>& all) {
  std::vector<v1::Artifact> named;
  std::set<std::pair<std::string, std::string>> taken;
  for (const std::string& name : request.artifacts) {
    QF_ASSIGN_OR_RETURN(const ArtifactRecord record, tx.artifacts().Get(name));
    const auto found = std::ranges::find(all, record.artifact.name(), &v1::Artifact::name);
    if (found == all.end())
      return InvalidArgument("{} is not an artifact of model {}", record.artifact.name(),
                             request.model);
    if (!taken.emplace(found->format(), found->recipe()).second)
      return InvalidArgument("more than one artifact of {}:{} is named: name only one",
                             found->format(), found->recipe());
    named.push_back(*found);
  }
  return named;
}

// The version that the named artifacts are of, the newest of several; `wanted` 0: any.
absl::StatusOr<uint64_t> CommonVersion(const std::vector<v1::Artifact>& named, uint64_t wanted) {
  const auto all_belong = [&](uint64_t version) {
    return std::ranges::all_of(
        named, [version](const v1::Artifact& artifact) { return BelongsTo(artifact, version); });
  };
  if (wanted > 0) {
    for (const v1::Artifact& artifact : named)
      if (!BelongsTo(artifact, wanted))
        return InvalidArgument("{} is not of version {} of the model", artifact.name(), wanted);
    return wanted;
  }
  for (const uint64_t version : named.front().versions())
    if (all_belong(version)) return version;
  if (std::ranges::all_of(named, [](const auto& artifact) { return artifact.versions().empty(); }))
    return 0;  // made before versions were counted
  return InvalidArgument(
      "the artifacts named are of different versions of the model: name those of one (`quantfleet "
      "artifact list --model` tells)");
}

// "submit a job for it, or use version 1 (--version 1), which has some"
std::string Remedy(const std::string& model, const std::vector<v1::Artifact>& others) {
  std::set<uint64_t> versions;
  for (const v1::Artifact& artifact : others)
    versions.insert(artifact.versions().begin(), artifact.versions().end());
  if (versions.empty()) return fmt::format("run `quantfleet job submit {} --class CLASS`", model);
  return fmt::format(
      "run `quantfleet job submit {} --class CLASS`, or roll out version {} with --version {}",
      model, *versions.rbegin(), *versions.rbegin());
}

// A class that gets the model, but not this version of it, would be left behind without a word.
absl::Status CheckClasses(const v1::Rollout& rollout, const std::vector<v1::Artifact>& all,
                          const std::vector<v1::Device>& devices,
                          const std::vector<DeviceClassSpec>& classes) {
  std::map<std::string, uint64_t> by_class;
  for (const v1::Device& device : devices) ++by_class[device.device_class()];
  for (const auto& [name, count] : by_class) {
    const auto spec = std::ranges::find(classes, name, &DeviceClassSpec::name);
    if (spec == classes.end()) continue;
    uint64_t other = 0;  // the newest version that has the class's artifact
    bool has = false;
    for (const v1::Artifact& artifact : all) {
      if (artifact.format() != spec->format || artifact.recipe() != spec->recipe) continue;
      has = has || BelongsTo(artifact, rollout.version());
      for (const uint64_t version : artifact.versions()) other = std::max(other, version);
    }
    if (!has && other > 0)
      return FailedPrecondition(
          "class {} ({} {}) has no artifact of version {} of model {}, but one of version {}: run "
          "`quantfleet job submit {} --class {}`, roll out that version with --version {}, or "
          "leave the class out with --selector or --group",
          name, count, count == 1 ? "device" : "devices", rollout.version(), rollout.model(), other,
          rollout.model(), name, other);
  }
  return absl::OkStatus();
}

// Devices whose artifacts the plan's limits exclude, by class and reason.
using Missed = std::map<std::pair<std::string, std::string>, uint64_t>;

absl::Status RefuseMissed(const Missed& missed) {
  std::string text;
  for (const auto& [what, count] : missed)
    text += fmt::format("{}class {} ({} {}): {}", text.empty() ? "" : "; ", what.first, count,
                        count == 1 ? "device" : "devices", what.second);
  return FailedPrecondition(
      "artifacts miss what the plan asks of them: {}; submit a job for a class with a larger "
      "recipe, lower the limits, or leave these classes out with --selector or --group",
      text);
}

}  // namespace

absl::StatusOr<std::vector<OfferedArtifact>> Rollouts::ArtifactsOf(const Transaction& tx,
                                                                   const v1::Rollout& rollout) {
  QF_ASSIGN_OR_RETURN(const std::vector<v1::Artifact> all, tx.artifacts().List(rollout.model()));
  std::vector<v1::Artifact> own;
  for (const std::string& name : rollout.artifacts()) {
    const auto found = std::ranges::find(all, name, &v1::Artifact::name);
    if (found == all.end()) return NotFound("there is no {} of model {}", name, rollout.model());
    own.push_back(*found);
  }
  return Offer(tx, own);
}

absl::StatusOr<Rollouts::ChosenVersion> Rollouts::ChooseVersion(const Transaction& tx,
                                                                const CreateRequest& request) {
  ChosenVersion choice;
  QF_ASSIGN_OR_RETURN(choice.all, tx.artifacts().List(request.model));
  if (choice.all.empty())
    return FailedPrecondition(
        "model {} has no artifacts yet: submit a job and wait until it has succeeded",
        request.model);
  std::vector<v1::Artifact> candidates;
  if (!request.artifacts.empty()) {
    QF_ASSIGN_OR_RETURN(candidates, Named(tx, request, choice.all));
    QF_ASSIGN_OR_RETURN(choice.version, CommonVersion(candidates, request.version));
  } else {
    choice.version = request.version;
    if (request.version == 0) {
      QF_ASSIGN_OR_RETURN(const v1::Model newest, tx.models().Get(request.model));
      choice.version = newest.version();
    } else {
      QF_RETURN_IF_ERROR(tx.models().GetVersion(request.model, request.version).status());
    }
    for (const v1::Artifact& artifact : choice.all)
      if (BelongsTo(artifact, choice.version)) candidates.push_back(artifact);
    if (candidates.empty())
      return FailedPrecondition("version {} of model {} has no artifacts yet: {}", choice.version,
                                request.model, Remedy(request.model, choice.all));
  }
  QF_ASSIGN_OR_RETURN(choice.artifacts, Offer(tx, candidates));
  return choice;
}

bool IsMeant(const v1::Rollout& rollout, const Groups& groups, const v1::Device& device) {
  const Labels labels(device.labels().begin(), device.labels().end());
  if (!HasLabels(labels, rollout.selector())) return false;
  if (rollout.group().empty()) return true;
  const auto group = groups.find(rollout.group());
  return group != groups.end() && Belongs(group->second, device.id(), labels);
}

absl::StatusOr<Groups> Rollouts::LoadGroups(const Transaction& tx, const v1::Rollout& rollout,
                                            bool all) {
  std::set<std::string> names = GroupsOf(rollout.plan());
  if (!rollout.group().empty()) names.insert(rollout.group());
  Groups groups;
  for (const std::string& name : names) {
    auto group = tx.groups().Get(name);
    if (!all && group.status().code() == absl::StatusCode::kNotFound) continue;
    QF_RETURN_IF_ERROR(group.status());
    groups.emplace(name, *std::move(group));
  }
  return groups;
}

absl::StatusOr<std::vector<v1::Device>> Rollouts::ChooseDevices(const Transaction& tx,
                                                                const CreateRequest& request,
                                                                const v1::Rollout& rollout,
                                                                const Groups& groups) {
  std::vector<v1::Device> devices;
  if (!request.device_ids.empty()) {
    const std::set<std::string> ids(request.device_ids.begin(), request.device_ids.end());
    for (const std::string& id : ids) {
      QF_ASSIGN_OR_RETURN(v1::Device device, tx.devices().Get(id));
      if (device.state() != v1::Device::ACTIVE)
        return FailedPrecondition("device {} is revoked", id);
      if (IsMeant(rollout, groups, device)) devices.push_back(std::move(device));
    }
  } else {
    std::string after;
    for (;;) {
      QF_ASSIGN_OR_RETURN(std::vector<v1::Device> page, tx.devices().List(after, kPage));
      if (page.empty()) break;
      after = page.back().id();
      for (v1::Device& device : page)
        if (device.state() == v1::Device::ACTIVE && IsMeant(rollout, groups, device))
          devices.push_back(std::move(device));
    }
  }
  if (!devices.empty() || request.plan.dynamic()) return devices;
  if (!request.group.empty())
    return FailedPrecondition(
        "no active device of group {0} matches: see `quantfleet group show {0}`", request.group);
  if (!request.selector.empty())
    return FailedPrecondition("no device has the labels of the selector");
  return FailedPrecondition("no device is enrolled: create a token and enroll one first");
}

absl::StatusOr<v1::Rollout> Rollouts::Draw(const Transaction& tx, const CreateRequest& request) {
  QF_RETURN_IF_ERROR(tx.models().Get(request.model).status());
  QF_ASSIGN_OR_RETURN(const ChosenVersion choice, ChooseVersion(tx, request));
  const std::vector<OfferedArtifact>& artifacts = choice.artifacts;
  v1::Rollout rollout;
  rollout.set_model(request.model);
  rollout.set_version(choice.version);
  *rollout.mutable_plan() = CompletePlan(request.plan);
  Begin(rollout, request.draft, Now());
  for (const OfferedArtifact& artifact : artifacts) {
    rollout.add_artifacts(artifact.artifact.name());
    *rollout.add_measured() = MeasuredOf(artifact.artifact, artifact.memory, artifact.evaluations);
  }
  for (const auto& [key, value] : request.selector) (*rollout.mutable_selector())[key] = value;
  rollout.set_group(request.group);
  QF_ASSIGN_OR_RETURN(const Groups groups, LoadGroups(tx, rollout, /*all=*/true));
  QF_ASSIGN_OR_RETURN(const std::vector<v1::Device> devices,
                      ChooseDevices(tx, request, rollout, groups));
  QF_ASSIGN_OR_RETURN(const auto classes, with_.classes.Specs(tx));
  if (request.artifacts.empty())
    QF_RETURN_IF_ERROR(CheckClasses(rollout, choice.all, devices, *classes));

  std::vector<RolloutDevice> rows;
  Missed missed;
  std::map<std::string, Labels> labels;
  std::string reasons;
  size_t skipped = 0;
  for (const v1::Device& device : devices) {
    RolloutDevice& row = rows.emplace_back(
        MatchDevice(device, artifacts, *classes, request.model, request.plan.quality()));
    if (row.code() == RolloutDevice::NOT_GOOD_ENOUGH && request.plan.has_quality() &&
        MatchDevice(device, artifacts, *classes, request.model).state() == RolloutDevice::QUEUED)
      ++missed[{row.device_class(), row.reason()}];
    if (row.state() == RolloutDevice::QUEUED && !request.draft) {
      QF_ASSIGN_OR_RETURN(const auto active, tx.rollouts().ListActiveOf(device.id()));
      if (const auto outranked = WhyOutranked(rollout, active))
        Move(row, RowEvent::kOutrank, {.now = Now(), .why = *outranked});
    }
    if (row.state() == RolloutDevice::QUEUED)
      if (const auto damaged = WhyDamaged(row, artifacts))
        return FailedPrecondition("{}", *damaged);
    labels.emplace(device.id(), Labels(device.labels().begin(), device.labels().end()));
    if (row.state() == RolloutDevice::SKIPPED && skipped++ < kReasonsShown)
      reasons +=
          fmt::format("{}{}: {}", reasons.empty() ? "" : "; ", row.device_id(), row.reason());
  }
  if (!missed.empty()) return RefuseMissed(missed);
  if (skipped == rows.size() && !request.plan.dynamic())
    return FailedPrecondition(
        "no device would get model {}: {}{}", request.model, reasons,
        skipped > kReasonsShown ? fmt::format("; and {} more", skipped - kReasonsShown) : "");
  PutInPhases(rollout.plan(), SeedOf(rollout), groups, labels, rows);
  std::map<std::pair<uint32_t, RolloutDevice::State>, uint64_t> counts;
  for (RolloutDevice& row : rows) {
    ++counts[{row.phase(), row.state()}];
    *rollout.add_devices() = std::move(row);
  }
  for (const auto& [where, n] : counts) {
    v1::RolloutCount& count = *rollout.add_counts();
    count.set_phase(where.first);
    count.set_state(where.second);
    count.set_devices(n);
  }
  QF_ASSIGN_OR_RETURN(const std::vector<RolloutDevice> finished,
                      tx.rollouts().ListHealthyDevices(kRecorded));
  *rollout.mutable_estimate() = EstimateOf(rollout, RecordOf(finished), check_in_, Now());
  return rollout;
}

absl::StatusOr<v1::Rollout> Rollouts::Record(Transaction& tx, const v1::Rollout& rollout,
                                             const Request& request) {
  QF_ASSIGN_OR_RETURN(const std::optional<std::string> known, tx.requests().Find(request));
  if (known) return tx.rollouts().Get(*known);
  QF_RETURN_IF_ERROR(tx.rollouts().Create(rollout, request).status());
  if (rollout.state() != v1::Rollout::DRAFT) {
    std::set<std::string> touched;
    QF_RETURN_IF_ERROR(Claim(tx, rollout, touched));
    QF_RETURN_IF_ERROR(SettleAll(tx, touched));
  }
  return tx.rollouts().Get(rollout.name());
}

absl::StatusOr<v1::Rollout> Rollouts::Create(const CreateRequest& request) {
  QF_RETURN_IF_ERROR(CheckRequest(request));
  const auto draw = [&] {
    return with_.store.Read([&](const Transaction& tx) { return Draw(tx, request); });
  };
  if (request.dry_run) return draw();
  const Request key{"CreateRollout", request.request_id};
  QF_ASSIGN_OR_RETURN(
      const std::optional<v1::Rollout> known,
      with_.store.Read([&](const Transaction& tx) -> absl::StatusOr<std::optional<v1::Rollout>> {
        QF_ASSIGN_OR_RETURN(const std::optional<std::string> name, tx.requests().Find(key));
        if (!name) return std::nullopt;
        return tx.rollouts().Get(*name);
      }));
  if (known) return *known;
  QF_ASSIGN_OR_RETURN(v1::Rollout drawn, draw());
  drawn.set_name(with_.random.Id("rollouts/"));
  FailPoint("rollout-before-record");
  QF_ASSIGN_OR_RETURN(v1::Rollout rollout,
                      with_.store.Write([&](Transaction& tx) { return Record(tx, drawn, key); }));
  *rollout.mutable_estimate() = drawn.estimate();
  *rollout.mutable_measured() = drawn.measured();
  FailPoint("rollout-after-record");
  return rollout;
}

}  // namespace quantfleet::daemon
