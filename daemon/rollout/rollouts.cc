// What moves a rollout: reports, time, operators.
#include "daemon/rollout/rollouts.h"

#include <algorithm>
#include <functional>

#include "common/base/fail_point.h"
#include "daemon/rollout/plan.h"
#include "daemon/store/stored_time.h"

namespace quantfleet::daemon {
namespace {

constexpr size_t kMaxReason = 1024;

}  // namespace

using v1::RolloutDevice;

absl::StatusOr<PhaseCounts> Rollouts::Count(const Transaction& tx, const v1::Rollout& rollout) {
  PhaseCounts counts(static_cast<size_t>(rollout.plan().phases_size()));
  QF_ASSIGN_OR_RETURN(const std::vector<RolloutStore::Count> rows,
                      tx.rollouts().CountDevices(rollout.name()));
  for (const RolloutStore::Count& row : rows) {
    if (row.phase >= counts.size())
      return Internal("{} has a device in phase {}", rollout.name(), row.phase + 1);
    PhaseCount& count = counts[row.phase];
    switch (row.state) {
      case RolloutDevice::QUEUED:
        count.queued += row.devices;
        break;
      case RolloutDevice::PENDING:
      case RolloutDevice::IN_PROGRESS:
        count.in_flight += row.devices;
        break;
      case RolloutDevice::HEALTHY:
        count.healthy += row.devices;
        break;
      case RolloutDevice::FAILED:
        count.failed += row.devices;
        break;
      case RolloutDevice::ROLLING_BACK:
        count.rolling_back += row.devices;
        break;
      default:
        break;
    }
  }
  return counts;
}

absl::Status Rollouts::TimeOut(Transaction& tx, const v1::Rollout& rollout) {
  if (!IsActive(rollout.state())) return absl::OkStatus();
  const int64_t now = ToUnixMillis(Now()), latest = Deadline(rollout);
  QF_ASSIGN_OR_RETURN(
      std::vector<RolloutDevice> overdue,
      tx.rollouts().ListOverdueDevices(rollout.name(), now, latest + kSameMomentMs));
  for (RolloutDevice& row : overdue) {
    // Set while the clock was ahead: its time begins anew.
    const bool future = row.deadline_ms() > latest;
    if (future) row.set_deadline_ms(latest);
    if (future || Move(row, RowEvent::kTimeOut, {.now = Now()}))
      QF_RETURN_IF_ERROR(tx.rollouts().PutDevice(rollout.name(), row));
  }
  return absl::OkStatus();
}

absl::Status Rollouts::ApplyToRows(Transaction& tx, const Decision& decision,
                                   std::set<std::string>& touched) {
  switch (decision.rows) {
    case Decision::Rows::kKeep:
      break;
    case Decision::Rows::kClaim:
      return Claim(tx, decision.rollout, touched);
    case Decision::Rows::kClose:
      return CloseRows(tx, decision.rollout);
    case Decision::Rows::kRollBack:
      return RollBackRows(tx, decision.rollout);
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> Rollouts::Apply(Transaction& tx, Decision& decision,
                                     std::set<std::string>& touched) {
  bool moved = decision.outcome == Decision::Outcome::kMoves;
  QF_RETURN_IF_ERROR(ApplyToRows(tx, decision, touched));
  if (moved) {
    const bool over = IsFinal(decision.rollout.state());
    if (over)
      FailPoint("rollout-before-finished");
    else
      FailPoint("phase-before-entered");
    QF_RETURN_IF_ERROR(tx.rollouts().PutRecord(decision.rollout));
    if (over)
      FailPoint("rollout-after-finished");
    else
      FailPoint("phase-after-entered");
  }
  if (decision.assign == 0) return moved;
  QF_ASSIGN_OR_RETURN(const uint64_t assigned, AssignNext(tx, decision.rollout, decision.assign));
  return moved || assigned > 0;
}

absl::StatusOr<bool> Rollouts::Step(Transaction& tx, const std::string& name, RolloutEvent event,
                                    std::string_view why, std::set<std::string>& touched) {
  QF_ASSIGN_OR_RETURN(const v1::Rollout rollout, tx.rollouts().GetRecord(name));
  QF_ASSIGN_OR_RETURN(const PhaseCounts counts, Count(tx, rollout));
  QF_ASSIGN_OR_RETURN(Decision decision, Decide(rollout, counts, Now(), event, why));
  if (decision.outcome == Decision::Outcome::kRefused)
    return FailedPrecondition("{}", decision.refusal);
  return Apply(tx, decision, touched);
}

absl::Status Rollouts::Settle(Transaction& tx, const std::string& name) {
  // Ahead, it would end soaks and time out every device; behind, nothing can be signed.
  QF_RETURN_IF_ERROR(with_.authority.CheckClock());
  QF_ASSIGN_OR_RETURN(const v1::Rollout rollout, tx.rollouts().GetRecord(name));
  QF_RETURN_IF_ERROR(TimeOut(tx, rollout));
  std::set<std::string> touched;  // nobody: time alone begins no rollout
  for (bool moved = true; moved;) {
    QF_ASSIGN_OR_RETURN(moved, Step(tx, name, RolloutEvent::kTick, "", touched));
  }
  return absl::OkStatus();
}

absl::Status Rollouts::SettleAll(Transaction& tx, const std::set<std::string>& names) {
  if (names.empty()) return absl::OkStatus();
  QF_ASSIGN_OR_RETURN(const std::vector<std::string> active, tx.rollouts().ListActive());
  for (const std::string& name : active)
    if (names.contains(name)) QF_RETURN_IF_ERROR(Settle(tx, name));
  return absl::OkStatus();
}

absl::Status Rollouts::ReportRows(Transaction& tx, std::string_view device_id,
                                  const std::vector<v1::ModelStatus>& models,
                                  std::set<std::string>& touched) {
  QF_ASSIGN_OR_RETURN(const std::vector<RolloutStore::Row> rows,
                      tx.rollouts().ListActiveOf(device_id));
  bool news = false;
  for (const RolloutStore::Row& row : rows) {
    const auto status = std::ranges::find(models, row.model, &v1::ModelStatus::model);
    RolloutDevice changed = row.device;
    if (!Move(changed, RowEvent::kReport,
              {.now = Now(), .status = status == models.end() ? nullptr : &*status}))
      continue;
    if (IsInFlight(changed.state()) && changed.deadline_ms() == 0) {
      QF_ASSIGN_OR_RETURN(const v1::Rollout rollout, tx.rollouts().GetRecord(row.rollout));
      changed.set_deadline_ms(Deadline(rollout));  // assigned before there were deadlines
    }
    FailPoint("rollout-before-device-recorded");
    QF_RETURN_IF_ERROR(tx.rollouts().PutDevice(row.rollout, changed));
    // A device that has just received it is in flight as before: nothing follows, and nothing needs
    // to be counted.
    if (IsInFlight(row.device.state()) && IsInFlight(changed.state())) continue;
    touched.insert(row.rollout);
    news = true;
  }
  if (news) TouchWaiting(rows, touched);
  return absl::OkStatus();
}

absl::Status Rollouts::Report(Transaction& tx, std::string_view device_id,
                              const std::vector<v1::ModelStatus>& models) {
  std::set<std::string> touched;
  QF_RETURN_IF_ERROR(ReportRows(tx, device_id, models, touched));
  QF_RETURN_IF_ERROR(Join(tx, device_id, touched));
  QF_RETURN_IF_ERROR(SettleAll(tx, touched));
  FailPoint("phase-after-report");
  return absl::OkStatus();
}

absl::Status Rollouts::Skip(Transaction& tx, std::string_view device_id, std::string_view reason) {
  QF_ASSIGN_OR_RETURN(const std::vector<RolloutStore::Row> rows,
                      tx.rollouts().ListActiveOf(device_id));
  std::set<std::string> touched;
  for (const RolloutStore::Row& row : rows) {
    RolloutDevice changed = row.device;
    if (!Move(changed, RowEvent::kRevoke, {.now = Now(), .why = reason})) continue;
    QF_RETURN_IF_ERROR(tx.rollouts().PutDevice(row.rollout, changed));
    touched.insert(row.rollout);
  }
  return SettleAll(tx, touched);
}

absl::Status Rollouts::Tick() {
  QF_RETURN_IF_ERROR(with_.authority.CheckClock());
  QF_ASSIGN_OR_RETURN(
      const std::vector<std::string> names,
      with_.store.Read([](const Transaction& tx) { return tx.rollouts().ListActive(); }));
  absl::Status first;
  const auto each = [&](const std::function<absl::Status(Transaction&, const std::string&)>& turn) {
    for (const std::string& name : names) {
      const absl::Status done = with_.store.Write([&](Transaction& tx) { return turn(tx, name); });
      if (first.ok() && !done.ok()) first = Annotate(done, name);
    }
  };
  // Before any device is assigned, those whose time is up are freed for whichever rollout comes
  // first.
  each([&](Transaction& tx, const std::string& name) -> absl::Status {
    QF_ASSIGN_OR_RETURN(const v1::Rollout rollout, tx.rollouts().GetRecord(name));
    return TimeOut(tx, rollout);
  });
  each([&](Transaction& tx, const std::string& name) { return Settle(tx, name); });
  return first;
}

absl::Status Rollouts::ActOn(Transaction& tx, const v1::Rollout& rollout, RolloutEvent event,
                             std::string_view why) {
  std::set<std::string> touched{rollout.name()};
  QF_RETURN_IF_ERROR(TimeOut(tx, rollout));
  QF_RETURN_IF_ERROR(Step(tx, rollout.name(), event, why, touched).status());
  return SettleAll(tx, touched);
}

absl::StatusOr<v1::Rollout> Rollouts::Act(const std::string& name, RolloutEvent event,
                                          std::string_view why) {
  if (why.size() > kMaxReason) return InvalidArgument("reason: at most {} bytes", kMaxReason);
  v1::Rollout rollout;
  FailPoint("phase-before-action");
  QF_RETURN_IF_ERROR(with_.store.Write([&](Transaction& tx) -> absl::Status {
    QF_ASSIGN_OR_RETURN(const v1::Rollout record, tx.rollouts().GetRecord(name));
    QF_RETURN_IF_ERROR(ActOn(tx, record, event, why));
    QF_ASSIGN_OR_RETURN(rollout, tx.rollouts().GetSummary(name));
    return absl::OkStatus();
  }));
  FailPoint("phase-after-action");
  return rollout;
}

absl::StatusOr<v1::Rollout> Rollouts::Approve(const std::string& name, uint32_t phase,
                                              std::string_view why) {
  if (phase == 0) return Act(name, RolloutEvent::kApprove, why);
  if (why.size() > kMaxReason) return InvalidArgument("reason: at most {} bytes", kMaxReason);
  v1::Rollout rollout;
  FailPoint("phase-before-approved");
  QF_RETURN_IF_ERROR(with_.store.Write([&](Transaction& tx) -> absl::Status {
    QF_ASSIGN_OR_RETURN(const v1::Rollout record, tx.rollouts().GetRecord(name));
    switch (GateOf(record, phase)) {
      case Gate::kNotReached:
        return FailedPrecondition("{} is in phase {}: phase {} cannot be approved yet", name,
                                  record.phase() + 1, phase);
      case Gate::kWaits:
        QF_RETURN_IF_ERROR(ActOn(tx, record, RolloutEvent::kApprove, why));
        break;
      case Gate::kPassed:
        break;
    }
    QF_ASSIGN_OR_RETURN(rollout, tx.rollouts().GetSummary(name));
    return absl::OkStatus();
  }));
  FailPoint("phase-after-approved");
  return rollout;
}

}  // namespace quantfleet::daemon
