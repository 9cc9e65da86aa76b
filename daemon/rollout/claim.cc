// Which of several rollouts has a device: docs/decisions/0017.
#include <map>

#include "common/base/fail_point.h"
#include "daemon/rollout/plan.h"
#include "daemon/rollout/rollouts.h"

namespace quantfleet::daemon {
namespace {

using v1::RolloutDevice;

// Its rollout keeps the device from those of lower priority until it ends, even when the device is
// finished: soak times and limits count what the device does meanwhile.
bool IsKept(const RolloutDevice& row) {
  return row.state() != RolloutDevice::SKIPPED && row.state() != RolloutDevice::ROLLED_BACK;
}

}  // namespace

std::optional<std::string> Rollouts::WhyOutranked(const v1::Rollout& rollout,
                                                  const std::vector<RolloutStore::Row>& rows) {
  for (const RolloutStore::Row& other : rows)
    if (other.rollout != rollout.name() && other.model == rollout.model() &&
        other.priority > rollout.plan().priority() && IsKept(other.device))
      return fmt::format(
          "outranked by {} with priority {}: wait until that has ended, or use at least the same "
          "priority",
          other.rollout, other.priority);
  return std::nullopt;
}

absl::Status Rollouts::Supersede(Transaction& tx, const v1::Rollout& rollout,
                                 const std::vector<RolloutStore::Row>& rows,
                                 std::set<std::string>& touched) {
  for (const RolloutStore::Row& old : rows) {
    if (old.rollout == rollout.name() || old.model != rollout.model()) continue;
    RolloutDevice row = old.device;
    if (!Move(row, RowEvent::kSupersede, {.now = Now(), .why = rollout.name()})) continue;
    QF_RETURN_IF_ERROR(tx.rollouts().PutDevice(old.rollout, row));
    touched.insert(old.rollout);
    // The device is free: all that wait for it are considered in order, not just this one.
    TouchWaiting(rows, touched);
  }
  return absl::OkStatus();
}

absl::Status Rollouts::Claim(Transaction& tx, const v1::Rollout& rollout,
                             std::set<std::string>& touched) {
  QF_ASSIGN_OR_RETURN(std::vector<RolloutDevice> queued,
                      tx.rollouts().ListDevices(rollout.name(), RolloutDevice::QUEUED));
  for (RolloutDevice& row : queued) {
    QF_ASSIGN_OR_RETURN(const auto rows, tx.rollouts().ListActiveOf(row.device_id()));
    if (const auto outranked = WhyOutranked(rollout, rows)) {
      Move(row, RowEvent::kOutrank, {.now = Now(), .why = *outranked});
      QF_RETURN_IF_ERROR(tx.rollouts().PutDevice(rollout.name(), row));
    } else {
      QF_RETURN_IF_ERROR(Supersede(tx, rollout, rows, touched));
    }
  }
  touched.insert(rollout.name());
  return absl::OkStatus();
}

void Rollouts::TouchWaiting(const std::vector<RolloutStore::Row>& rows,
                            std::set<std::string>& touched) {
  for (const RolloutStore::Row& row : rows)
    if (row.device.state() == RolloutDevice::QUEUED) touched.insert(row.rollout);
}

absl::Status Rollouts::JoinOne(Transaction& tx, const v1::Device& device,
                               const v1::Rollout& rollout, const Groups& groups,
                               std::set<std::string>& touched) {
  // It is considered again at each check-in until the other rollout ends.
  QF_ASSIGN_OR_RETURN(const auto rows, tx.rollouts().ListActiveOf(device.id()));
  if (WhyOutranked(rollout, rows)) return absl::OkStatus();
  QF_ASSIGN_OR_RETURN(const std::vector<OfferedArtifact> artifacts, ArtifactsOf(tx, rollout));
  QF_ASSIGN_OR_RETURN(const auto classes, with_.classes.Specs(tx));
  // A device for which nothing fits gets a row too, with the reason, and is not considered again.
  RolloutDevice row =
      MatchDevice(device, artifacts, *classes, rollout.model(), rollout.plan().quality());
  if (row.state() == RolloutDevice::QUEUED) {
    PutInPhase(rollout.plan(), SeedOf(rollout), groups,
               Labels(device.labels().begin(), device.labels().end()), row);
    QF_RETURN_IF_ERROR(Supersede(tx, rollout, rows, touched));
    QF_RETURN_IF_ERROR(Step(tx, rollout.name(), RolloutEvent::kJoin, "", touched).status());
    touched.insert(rollout.name());
  }
  FailPoint("phase-before-joined");
  QF_RETURN_IF_ERROR(tx.rollouts().PutDevice(rollout.name(), row));
  FailPoint("phase-after-joined");
  return absl::OkStatus();
}

absl::Status Rollouts::Join(Transaction& tx, std::string_view device_id,
                            std::set<std::string>& touched) {
  QF_ASSIGN_OR_RETURN(const std::vector<std::string> names, tx.rollouts().ListToJoin(device_id));
  if (names.empty()) return absl::OkStatus();
  QF_ASSIGN_OR_RETURN(const v1::Device device, tx.devices().Get(device_id));
  struct Choice {
    v1::Rollout rollout;
    Groups groups;
  };
  std::map<std::string, Choice> choices;  // by model
  for (const std::string& name : names) {
    QF_ASSIGN_OR_RETURN(v1::Rollout rollout, tx.rollouts().GetRecord(name));
    QF_ASSIGN_OR_RETURN(Groups groups, LoadGroups(tx, rollout, /*all=*/false));
    if (!IsMeant(rollout, groups, device)) continue;
    // The newest, unless an older active one has a higher priority.
    const std::string model = rollout.model();
    const auto chosen = choices.find(model);
    if (chosen == choices.end() ||
        (IsActive(rollout.state()) &&
         rollout.plan().priority() > chosen->second.rollout.plan().priority()))
      choices.insert_or_assign(model, Choice{std::move(rollout), std::move(groups)});
  }
  for (const auto& [model, choice] : choices)
    QF_RETURN_IF_ERROR(JoinOne(tx, device, choice.rollout, choice.groups, touched));
  return absl::OkStatus();
}

}  // namespace quantfleet::daemon
