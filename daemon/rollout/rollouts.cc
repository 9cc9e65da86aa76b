#include "daemon/rollout/rollouts.h"

#include <algorithm>
#include <set>

#include "common/base/fail_point.h"
#include "common/trust/statement.h"
#include "quantfleet/v1/manifest.pb.h"

namespace quantfleet::daemon {
namespace {

using v1::RolloutDevice;

constexpr size_t kPage = 1000;
constexpr size_t kReasonsShown = 3;
constexpr size_t kMostText = 256, kMostReason = 1024;

bool Terminal(RolloutDevice::State state) {
  return state == RolloutDevice::HEALTHY || state == RolloutDevice::FAILED || state == RolloutDevice::SKIPPED;
}

// "artifacts/<hex>" holds the digest that the device reports raw.
bool IsArtifact(const std::string& name, const std::string& raw_digest) {
  return !raw_digest.empty() && name == "artifacts/" + ToHex(AsBytes(raw_digest));
}

// Reasons with which a device refuses an assignment before it accepts its release (agent/update).
constexpr std::string_view kRefusals[] = {"rollback_refused", "assignment_refused", "state_damaged"};

bool Refuses(const RolloutDevice& row, const v1::ModelStatus& status) {
  if (status.phase() != v1::ModelStatus::FAILED) return false;
  if (status.release() > row.release()) return true;  // it accepted a higher one and will not go below
  // Told once before: what it refuses now is not an older assignment's.
  return row.state() == RolloutDevice::IN_PROGRESS && std::ranges::find(kRefusals, status.reason()) != std::end(kRefusals);
}

std::string ReasonOf(const v1::ModelStatus& status) {
  std::string reason = status.detail().empty() ? status.reason() : fmt::format("{}: {}", status.reason(), status.detail());
  if (reason.empty()) return "failed";
  if (reason.size() > kMostReason) reason = fmt::format("{}: see the device", status.reason());  // never half a character
  return reason;
}

// Where a check-in takes the row; false when it says nothing new. `status`: null when the device does not speak of the
// model. The answer to the check-in carries the assignment, so a row is IN_PROGRESS from then on.
bool Advance(RolloutDevice& row, const v1::ModelStatus* status) {
  RolloutDevice::State next = row.state() == RolloutDevice::PENDING ? RolloutDevice::IN_PROGRESS : row.state();
  std::string reason = row.reason();
  if (status && status->release() == row.release()) {
    if (status->phase() == v1::ModelStatus::HEALTHY && IsArtifact(row.artifact(), status->active_manifest())) {
      next = RolloutDevice::HEALTHY;
      reason.clear();
    } else if (status->phase() == v1::ModelStatus::FAILED) {
      next = RolloutDevice::FAILED;
      reason = ReasonOf(*status);
    }
    // A device that failed and mends itself counts as healthy; its attempts on the way do not reopen the row.
  } else if (status && Refuses(row, *status)) {
    next = RolloutDevice::FAILED;
    reason = ReasonOf(*status);
  }
  if (row.state() == next && row.reason() == reason) return false;
  row.set_state(next);
  row.set_reason(reason);
  return true;
}

}  // namespace

absl::StatusOr<std::vector<Rollouts::Artifact>> Rollouts::ChooseArtifacts(const CreateRequest& request) {
  QF_ASSIGN_OR_RETURN(const std::vector<v1::Artifact> all, with_.store.ListArtifacts(request.model));
  if (all.empty())
    return FailedPrecondition("model {} has no artifacts yet: submit a job and wait until it succeeded", request.model);
  std::vector<v1::Artifact> candidates = all;
  if (!request.artifacts.empty()) {
    candidates.clear();
    for (const std::string& name : request.artifacts) {
      QF_ASSIGN_OR_RETURN(const ArtifactRecord record, with_.store.GetArtifact(name));
      const auto of_model = std::ranges::find(all, record.artifact.name(), &v1::Artifact::name);
      if (of_model == all.end())
        return InvalidArgument("{} is no artifact of model {}", record.artifact.name(), request.model);
      candidates.push_back(*of_model);
    }
  }
  std::set<std::pair<std::string, std::string>> taken;
  std::vector<Artifact> chosen;
  for (const v1::Artifact& artifact : candidates) {  // newest first: the first of a kind is the one
    if (!taken.emplace(artifact.format(), artifact.recipe()).second) {
      if (request.artifacts.empty()) continue;
      return InvalidArgument("two artifacts of {}:{} are named: a device could get either", artifact.format(),
                             artifact.recipe());
    }
    QF_ASSIGN_OR_RETURN(const ArtifactRecord record, with_.store.GetArtifact(artifact.name()));
    v1::Manifest manifest;
    if (!manifest.ParseFromString(record.manifest)) return DataLoss("the manifest of {} is damaged", artifact.name());
    Artifact one{artifact, manifest.requirements().memory_bytes(), {}};
    one.instruction_sets.assign(manifest.requirements().instruction_sets().begin(),
                                manifest.requirements().instruction_sets().end());
    chosen.push_back(std::move(one));
  }
  return chosen;
}

absl::StatusOr<std::vector<v1::Device>> Rollouts::ChooseDevices(const CreateRequest& request) {
  std::vector<v1::Device> devices;
  if (!request.device_ids.empty()) {
    const std::set<std::string> ids(request.device_ids.begin(), request.device_ids.end());
    for (const std::string& id : ids) {
      QF_ASSIGN_OR_RETURN(v1::Device device, with_.store.GetDevice(id));
      if (device.state() != v1::Device::ACTIVE) return FailedPrecondition("device {} is revoked", id);
      devices.push_back(std::move(device));
    }
    return devices;
  }
  std::string after;
  for (;;) {
    QF_ASSIGN_OR_RETURN(std::vector<v1::Device> page, with_.store.ListDevices(after, kPage));
    if (page.empty()) break;
    after = page.back().id();
    for (v1::Device& device : page)
      if (device.state() == v1::Device::ACTIVE) devices.push_back(std::move(device));
  }
  if (devices.empty()) return FailedPrecondition("no device is enrolled: make a token and enrol one first");
  return devices;
}

v1::RolloutDevice Rollouts::Match(const v1::Device& device, const std::vector<Artifact>& artifacts,
                                  const std::vector<DeviceClassSpec>& classes, std::string_view model) {
  RolloutDevice row;
  row.set_device_id(device.id());
  row.set_device_class(device.device_class());
  row.set_state(RolloutDevice::SKIPPED);
  if (device.device_class().empty()) {
    row.set_reason(device.class_reason());
    return row;
  }
  const auto spec = std::ranges::find(classes, device.device_class(), &DeviceClassSpec::name);
  if (spec == classes.end()) {
    row.set_reason(fmt::format("class {} does not exist any more: the device gets another at its next check-in",
                               device.device_class()));
    return row;
  }
  const auto found = std::ranges::find_if(artifacts, [&](const Artifact& a) {
    return a.artifact.format() == spec->format && a.artifact.recipe() == spec->recipe;
  });
  if (found == artifacts.end()) {
    row.set_reason(fmt::format("model {} has no artifact {}:{}: submit a job for class {}", model, spec->format,
                               spec->recipe, spec->name));
    return row;
  }
  const double memory = static_cast<double>(device.facts().memory_total_bytes());
  if (memory > 0 && static_cast<double>(found->memory_bytes) * spec->memory_headroom > memory) {
    row.set_reason(fmt::format("{} needs {}, {} times that with class {}'s head-room; the device has {}",
                               found->artifact.name(), HumanBytes(found->memory_bytes), spec->memory_headroom,
                               spec->name, HumanBytes(device.facts().memory_total_bytes())));
    return row;
  }
  for (const std::string& isa : found->instruction_sets) {
    if (std::ranges::find(device.facts().instruction_sets(), isa) != device.facts().instruction_sets().end()) continue;
    row.set_reason(fmt::format("{} needs instruction set {}", found->artifact.name(), isa));
    return row;
  }
  row.set_artifact(found->artifact.name());
  row.set_state(RolloutDevice::PENDING);
  return row;
}

absl::Status Rollouts::Assign(const v1::Rollout& rollout, RolloutDevice& row) {
  QF_ASSIGN_OR_RETURN(const std::vector<Store::RolloutRow> older, with_.store.ListRunningRolloutsOf(row.device_id()));
  for (const Store::RolloutRow& old : older) {
    if (old.model != rollout.model() || Terminal(old.device.state())) continue;
    RolloutDevice superseded = old.device;
    superseded.set_state(RolloutDevice::SKIPPED);
    superseded.set_reason(fmt::format("superseded by {}", rollout.name()));
    QF_RETURN_IF_ERROR(with_.store.PutRolloutDevice(old.rollout, superseded));
    QF_RETURN_IF_ERROR(FinishIfDone(old.rollout));
  }
  QF_ASSIGN_OR_RETURN(const Digest digest, Digest::FromHexText(row.artifact().substr(row.artifact().find('/') + 1)));
  const auto sign = [&](uint64_t release) -> absl::StatusOr<v1::Signed> {
    v1::Assignment assignment;
    assignment.set_device_id(row.device_id());
    assignment.set_model(rollout.model());
    assignment.set_release(release);
    assignment.set_manifest_digest(digest.raw());
    assignment.set_issued_ms(rollout.created_ms());
    assignment.set_rollout(rollout.name());
    return with_.authority.SignStatement(trust::kAssignmentType, assignment.SerializeAsString());
  };
  QF_ASSIGN_OR_RETURN(
      const AssignmentRecord record,
      with_.store.AssignRelease(row.device_id(), rollout.model(), digest.raw(), rollout.name(), sign));
  row.set_release(record.release);
  return absl::OkStatus();
}

absl::Status Rollouts::Record(v1::Rollout& rollout, const Request& request) {
  return with_.store.Atomically([&]() -> absl::Status {
    QF_ASSIGN_OR_RETURN(const std::optional<std::string> known, with_.store.FindRequest(request));
    if (known) {
      QF_ASSIGN_OR_RETURN(rollout, with_.store.GetRollout(*known));
      return absl::OkStatus();
    }
    for (RolloutDevice& row : *rollout.mutable_devices())
      if (row.state() == RolloutDevice::PENDING) QF_RETURN_IF_ERROR(Assign(rollout, row));
    QF_ASSIGN_OR_RETURN(rollout, with_.store.CreateRollout(rollout, request));
    return absl::OkStatus();
  });
}

absl::StatusOr<v1::Rollout> Rollouts::Create(const CreateRequest& request) {
  if (request.request_id.size() > kMostText) return InvalidArgument("request_id: at most {} bytes", kMostText);
  if (request.model.empty()) return InvalidArgument("model is missing");
  const Request key{"CreateRollout", request.request_id};
  QF_ASSIGN_OR_RETURN(const std::optional<std::string> known, with_.store.FindRequest(key));
  if (known) return with_.store.GetRollout(*known);

  QF_RETURN_IF_ERROR(with_.store.GetModel(request.model).status());
  QF_ASSIGN_OR_RETURN(const std::vector<Artifact> artifacts, ChooseArtifacts(request));
  QF_ASSIGN_OR_RETURN(const std::vector<v1::Device> devices, ChooseDevices(request));
  QF_ASSIGN_OR_RETURN(const auto classes, with_.classes.Specs());

  v1::Rollout rollout;
  rollout.set_name(with_.random.Id("rollouts/"));
  rollout.set_model(request.model);
  rollout.set_state(v1::Rollout::RUNNING);
  rollout.set_created_ms(ToUnixMillis(with_.clock.Now()));
  std::string reasons;
  size_t skipped = 0;
  for (const v1::Device& device : devices) {
    RolloutDevice row = Match(device, artifacts, *classes, request.model);
    if (row.state() == RolloutDevice::SKIPPED && skipped++ < kReasonsShown)
      reasons += fmt::format("{}{}: {}", reasons.empty() ? "" : "; ", row.device_id(), row.reason());
    *rollout.add_devices() = std::move(row);
  }
  if (skipped == devices.size())
    return FailedPrecondition("no device can run model {}: {}{}", request.model, reasons,
                              skipped > kReasonsShown ? fmt::format("; and {} more", skipped - kReasonsShown) : "");
  FailPoint("rollout-before-record");
  QF_RETURN_IF_ERROR(Record(rollout, key));
  FailPoint("rollout-after-record");
  return rollout;
}

absl::Status Rollouts::FinishIfDone(std::string_view rollout) {
  QF_ASSIGN_OR_RETURN(const auto counts, with_.store.CountRolloutDevices(rollout));
  bool failed = false;
  for (const auto& [state, count] : counts) {
    if (count == 0) continue;
    if (!Terminal(state)) return absl::OkStatus();
    failed |= state == RolloutDevice::FAILED;
  }
  FailPoint("rollout-before-finished");
  QF_RETURN_IF_ERROR(with_.store.SetRolloutState(rollout, failed ? v1::Rollout::FAILED : v1::Rollout::COMPLETED,
                                                 ToUnixMillis(with_.clock.Now())));
  FailPoint("rollout-after-finished");
  return absl::OkStatus();
}

absl::Status Rollouts::Report(std::string_view device_id, const std::vector<v1::ModelStatus>& models) {
  QF_ASSIGN_OR_RETURN(const std::vector<Store::RolloutRow> rows, with_.store.ListRunningRolloutsOf(device_id));
  if (rows.empty()) return absl::OkStatus();
  // Read again inside: a rollout that supersedes this one may have come between.
  return with_.store.Atomically([&]() -> absl::Status {
    QF_ASSIGN_OR_RETURN(const std::vector<Store::RolloutRow> running, with_.store.ListRunningRolloutsOf(device_id));
    for (const Store::RolloutRow& row : running) {
      const auto status = std::ranges::find(models, row.model, &v1::ModelStatus::model);
      if (row.device.state() == RolloutDevice::HEALTHY || row.device.state() == RolloutDevice::SKIPPED) continue;
      RolloutDevice changed = row.device;
      if (!Advance(changed, status == models.end() ? nullptr : &*status)) continue;
      FailPoint("rollout-before-device-recorded");
      QF_RETURN_IF_ERROR(with_.store.PutRolloutDevice(row.rollout, changed));
      if (Terminal(changed.state())) QF_RETURN_IF_ERROR(FinishIfDone(row.rollout));
    }
    return absl::OkStatus();
  });
}

absl::Status Rollouts::Skip(std::string_view device_id, std::string_view reason) {
  return with_.store.Atomically([&]() -> absl::Status {
    QF_ASSIGN_OR_RETURN(const std::vector<Store::RolloutRow> running, with_.store.ListRunningRolloutsOf(device_id));
    for (const Store::RolloutRow& row : running) {
      if (Terminal(row.device.state())) continue;
      RolloutDevice changed = row.device;
      changed.set_state(RolloutDevice::SKIPPED);
      changed.set_reason(std::string(reason));
      QF_RETURN_IF_ERROR(with_.store.PutRolloutDevice(row.rollout, changed));
      QF_RETURN_IF_ERROR(FinishIfDone(row.rollout));
    }
    return absl::OkStatus();
  });
}

}  // namespace quantfleet::daemon
