// Assignments: to the next devices of a phase, and for rollbacks.
#include <algorithm>

#include "common/base/fail_point.h"
#include "common/trust/statement.h"
#include "daemon/rollout/pace.h"
#include "daemon/rollout/rollouts.h"
#include "daemon/store/artifact_name.h"
#include "daemon/store/stored_time.h"
#include "pipeline/artifact/kind.h"
#include "pipeline/artifact/memory.h"

namespace quantfleet::daemon {
namespace {

using v1::RolloutDevice;

constexpr uint64_t kMostHeld = 10'000;  // rows looked past in one turn

// What the device reports to run of the model; nullptr: nothing.
const v1::ModelStatus* Running(const v1::Device& device, const std::string& model) {
  const auto status = std::ranges::find(device.models(), model, &v1::ModelStatus::model);
  return status == device.models().end() || status->active_manifest().empty() ? nullptr : &*status;
}

// An agent that does not know {context} gets the runtime with the placeholders filled in.
v1::Runtime RuntimeFor(const v1::Runtime& runtime, const v1::Device& device,
                       const v1::ContextPolicy& context) {
  v1::Runtime filled = runtime;
  if (device.facts().kv_types_size() > 0) return filled;
  const auto fill = [&](std::string& text) {
    for (const auto& [word, value] :
         {std::pair("{context}", std::to_string(context.tokens() > 0 ? context.tokens()
                                                                     : pipeline::kDefaultContext)),
          std::pair("{kv_type}", context.kv_type().empty() ? "f16" : context.kv_type())})
      for (size_t at = text.find(word); at != std::string::npos;
           at = text.find(word, at + value.size()))
        text.replace(at, std::string_view(word).size(), value);
  };
  for (std::string& arg : *filled.mutable_args()) fill(arg);
  for (auto& [name, value] : *filled.mutable_env()) fill(value);
  return filled;
}

}  // namespace

int64_t Rollouts::Deadline(const v1::Rollout& rollout) const {
  constexpr int64_t kDay = 24 * 3600;  // for rollouts from before there were plans
  const int64_t seconds =
      rollout.plan().device_timeout_seconds() ? rollout.plan().device_timeout_seconds() : kDay;
  return ToUnixMillis(Now()) + seconds * 1000;
}

absl::Status Rollouts::Assign(Transaction& tx, const v1::Rollout& rollout,
                              const std::string& artifact, const v1::Assignment& terms,
                              RowEvent event, RolloutDevice& row) {
  std::string digest;
  if (!artifact.empty()) {
    QF_ASSIGN_OR_RETURN(const Digest of_name, DigestOfArtifact(artifact));
    digest = of_name.raw();
  }
  const auto sign = [&](uint64_t release) -> absl::StatusOr<v1::Signed> {
    v1::Assignment assignment = terms;
    assignment.set_device_id(row.device_id());
    assignment.set_model(rollout.model());
    assignment.set_release(release);
    assignment.set_manifest_digest(digest);
    assignment.set_issued_ms(ToUnixMillis(Now()));
    assignment.set_rollout(rollout.name());
    return with_.authority.SignStatement(trust::kAssignmentType, assignment.SerializeAsString());
  };
  QF_ASSIGN_OR_RETURN(
      const AssignmentRecord record,
      tx.assignments().Assign(row.device_id(), rollout.model(), digest, rollout.name(), sign,
                              {terms.step_down().begin(), terms.step_down().end()}));
  if (!Move(row, event,
            {.now = Now(), .release = record.release, .deadline_ms = Deadline(rollout)}))
    return Internal("{}: device {} is {} and was assigned release {}", rollout.name(),
                    row.device_id(), RolloutDevice::State_Name(row.state()), record.release);
  return absl::OkStatus();
}

absl::Status Rollouts::AssignDevice(Transaction& tx, const v1::Rollout& rollout,
                                    const v1::Device& device, RolloutDevice& row) {
  if (const v1::ModelStatus* running = Running(device, rollout.model())) {
    const std::string name = ArtifactName(AsBytes(running->active_manifest()));
    // The daemon cannot roll the device back to something that it does not know.
    if (tx.artifacts().Get(name).ok()) {
      row.set_previous_artifact(name);
      row.clear_previous_runtime();
      if (running->has_active_runtime())
        *row.mutable_previous_runtime() = running->active_runtime();
      row.clear_previous_context();
      if (running->context() > 0) {
        row.mutable_previous_context()->set_tokens(running->context());
        row.mutable_previous_context()->set_kv_type(running->kv_type());
      }
    }
  }
  QF_ASSIGN_OR_RETURN(const v1::Assignment terms, TermsOf(tx, rollout, device, row));
  return Assign(tx, rollout, row.artifact(), terms, RowEvent::kAssign, row);
}

absl::StatusOr<v1::Assignment> Rollouts::TermsOf(const Transaction& tx, const v1::Rollout& rollout,
                                                 const v1::Device& device,
                                                 const RolloutDevice& row) {
  QF_ASSIGN_OR_RETURN(const auto classes, with_.classes.Specs(tx));
  const auto spec = std::ranges::find(*classes, row.device_class(), &DeviceClassSpec::name);
  v1::Assignment terms;
  if (spec == classes->end()) return terms;
  if (spec->network.ByteSizeLong() > 0) *terms.mutable_network() = spec->network;
  if (pipeline::KindOfModel(rollout.model()) == pipeline::ArtifactKind::kProgram)
    return terms;  // the rest is about running models
  *terms.mutable_health() = spec->health;
  if (row.has_context()) *terms.mutable_context() = row.context();
  if (spec->runtime) *terms.mutable_runtime() = RuntimeFor(*spec->runtime, device, row.context());
  for (const std::string& artifact : row.step_down()) {
    QF_ASSIGN_OR_RETURN(const Digest digest, DigestOfArtifact(artifact));
    terms.add_step_down(digest.raw());
  }
  return terms;
}

absl::StatusOr<v1::Rollout> Rollouts::AllowDownload(const std::string& name,
                                                    const std::vector<std::string>& device_ids) {
  v1::Rollout rollout;
  FailPoint("download-before-allowed");
  QF_RETURN_IF_ERROR(with_.store.Write([&](Transaction& tx) -> absl::Status {
    QF_ASSIGN_OR_RETURN(const v1::Rollout record, tx.rollouts().GetRecord(name));
    QF_ASSIGN_OR_RETURN(std::vector<RolloutDevice> rows,
                        tx.rollouts().ListDevices(name, RolloutDevice::IN_PROGRESS));
    std::erase_if(rows, [](const RolloutDevice& row) { return !Concerns(RowEvent::kAllow, row); });
    for (const std::string& id : device_ids)
      if (std::ranges::find(rows, id, &RolloutDevice::device_id) == rows.end())
        return FailedPrecondition("{}: device {} has no download that waits for its budget", name,
                                  id);
    for (RolloutDevice& row : rows) {
      if (!device_ids.empty() && std::ranges::count(device_ids, row.device_id()) == 0) continue;
      QF_ASSIGN_OR_RETURN(const v1::Device device, tx.devices().Get(row.device_id()));
      QF_ASSIGN_OR_RETURN(v1::Assignment terms, TermsOf(tx, record, device, row));
      terms.mutable_network()->set_over_budget(true);
      QF_RETURN_IF_ERROR(Assign(tx, record, row.artifact(), terms, RowEvent::kAllow, row));
      QF_RETURN_IF_ERROR(tx.rollouts().PutDevice(name, row));
    }
    QF_ASSIGN_OR_RETURN(rollout, tx.rollouts().GetSummary(name));
    return absl::OkStatus();
  }));
  FailPoint("download-after-allowed");
  return rollout;
}

absl::StatusOr<uint64_t> Rollouts::AssignNext(Transaction& tx, v1::Rollout& rollout,
                                              uint64_t most) {
  const int64_t now = ToUnixMillis(Now());
  if (IsFuture(rollout.phase_opened_ms(), now)) {
    rollout.set_phase_opened_ms(now);  // opened while the clock was ahead: delays count from now
    QF_RETURN_IF_ERROR(tx.rollouts().PutRecord(rollout));
  }
  const int64_t open_ms = now - rollout.phase_opened_ms();
  QF_ASSIGN_OR_RETURN(
      std::vector<RolloutDevice> next,
      tx.rollouts().ListQueuedDevices(rollout.name(), rollout.phase(), open_ms, most));
  if (next.empty()) return uint64_t{0};
  QF_ASSIGN_OR_RETURN(const std::vector<OfferedArtifact> artifacts, ArtifactsOf(tx, rollout));
  // Whoever waits for a damaged artifact holds up no other.
  if (std::ranges::any_of(artifacts, [](const auto& a) { return a.artifact.has_damage(); })) {
    QF_ASSIGN_OR_RETURN(next, tx.rollouts().ListQueuedDevices(rollout.name(), rollout.phase(),
                                                              open_ms, most + kMostHeld));
  }
  QF_ASSIGN_OR_RETURN(const auto classes, with_.classes.Specs(tx));
  uint64_t assigned = 0, dealt = 0;
  for (const RolloutDevice& queued : next) {
    if (dealt == most) break;
    QF_ASSIGN_OR_RETURN(const v1::Device device, tx.devices().Get(queued.device_id()));
    // As it is now: days may lie between creation and its turn.
    RolloutDevice row = MatchDevice(device, artifacts, *classes, rollout.model());
    row.set_phase(queued.phase());
    row.set_delay_ms(queued.delay_ms());
    if (row.state() != RolloutDevice::SKIPPED) {
      if (const auto damaged = WhyDamaged(row, artifacts)) {
        RolloutDevice held = queued;
        if (Move(held, RowEvent::kHold, {.why = *damaged}))
          QF_RETURN_IF_ERROR(tx.rollouts().PutDevice(rollout.name(), held));
        continue;
      }
    }
    ++dealt;
    if (row.state() == RolloutDevice::SKIPPED) {
      row.set_finished_ms(ToUnixMillis(Now()));
    } else {
      QF_RETURN_IF_ERROR(AssignDevice(tx, rollout, device, row));
      ++assigned;
    }
    FailPoint("phase-before-assigned");
    QF_RETURN_IF_ERROR(tx.rollouts().PutDevice(rollout.name(), row));
    FailPoint("phase-after-assigned");
  }
  if (const int64_t next_assigned = NextAssignment(rollout, assigned, Now());
      assigned > 0 && next_assigned != rollout.next_told_ms()) {
    rollout.set_next_told_ms(next_assigned);
    QF_RETURN_IF_ERROR(tx.rollouts().PutRecord(rollout));
  }
  return dealt;
}

absl::Status Rollouts::CloseRows(Transaction& tx, const v1::Rollout& rollout) {
  for (const auto state :
       {RolloutDevice::QUEUED, RolloutDevice::PENDING, RolloutDevice::IN_PROGRESS}) {
    QF_ASSIGN_OR_RETURN(std::vector<RolloutDevice> rows,
                        tx.rollouts().ListDevices(rollout.name(), state));
    for (RolloutDevice& row : rows)
      if (Move(row, RowEvent::kEnd, {.now = Now(), .why = rollout.name()}))
        QF_RETURN_IF_ERROR(tx.rollouts().PutDevice(rollout.name(), row));
  }
  return absl::OkStatus();
}

absl::Status Rollouts::RollBackRow(Transaction& tx, const v1::Rollout& rollout, RolloutDevice row) {
  const std::string& id = row.device_id();
  QF_ASSIGN_OR_RETURN(const v1::Device device, tx.devices().Get(id));
  if (device.state() != v1::Device::ACTIVE) return absl::OkStatus();
  QF_ASSIGN_OR_RETURN(const std::vector<AssignmentRecord> assignments, tx.assignments().List(id));
  const auto current = std::ranges::find(assignments, rollout.model(), &AssignmentRecord::model);
  // Another rollout has assigned it something since, or is about to: that one decides.
  if (current == assignments.end() || current->release != row.release()) return absl::OkStatus();
  QF_ASSIGN_OR_RETURN(const std::vector<RolloutStore::Row> active, tx.rollouts().ListActiveOf(id));
  for (const RolloutStore::Row& other : active)
    if (other.rollout != rollout.name() && other.model == rollout.model() &&
        !IsOver(other.device.state()))
      return absl::OkStatus();
  // What the device ran before has passed its checks once: rolling back does not repeat them.
  v1::Assignment terms;
  if (row.has_previous_runtime()) *terms.mutable_runtime() = row.previous_runtime();
  if (row.has_previous_context()) {
    *terms.mutable_context() = row.previous_context();
    // Others may use the memory by now: a shorter context is still a rollback.
    terms.mutable_context()->set_min_tokens(1);
  }
  QF_RETURN_IF_ERROR(Assign(tx, rollout, row.previous_artifact(), terms, RowEvent::kRollBack, row));
  FailPoint("phase-before-rolled-back");
  QF_RETURN_IF_ERROR(tx.rollouts().PutDevice(rollout.name(), row));
  FailPoint("phase-after-rolled-back");
  return absl::OkStatus();
}

absl::Status Rollouts::RollBackRows(Transaction& tx, const v1::Rollout& rollout) {
  for (const auto state : {RolloutDevice::PENDING, RolloutDevice::IN_PROGRESS,
                           RolloutDevice::HEALTHY, RolloutDevice::FAILED, RolloutDevice::SKIPPED}) {
    QF_ASSIGN_OR_RETURN(const std::vector<RolloutDevice> rows,
                        tx.rollouts().ListDevices(rollout.name(), state));
    for (const RolloutDevice& row : rows)
      if (Concerns(RowEvent::kRollBack, row)) QF_RETURN_IF_ERROR(RollBackRow(tx, rollout, row));
  }
  // The remaining devices are not assigned any more.
  return CloseRows(tx, rollout);
}

}  // namespace quantfleet::daemon
