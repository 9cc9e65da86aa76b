#include "daemon/rollout/row.h"

#include <algorithm>
#include <string>
#include <utility>

#include "common/base/bytes.h"
#include "daemon/store/artifact_name.h"

namespace quantfleet::daemon {
namespace {

using v1::ModelStatus;
using v1::RolloutDevice;

constexpr size_t kMaxRowReason = 1024;

// Whether it is the artifact whose digest the device reports raw.
bool IsArtifact(const std::string& name, const std::string& raw_digest) {
  return !raw_digest.empty() && name == ArtifactName(AsBytes(raw_digest));
}

// Reasons with which a device refuses an assignment before it accepts its release (agent/update).
constexpr std::string_view kRefusals[] = {"rollback_refused", "assignment_refused",
                                          "state_damaged"};

bool Refuses(const RolloutDevice& row, const ModelStatus& status, bool told_before) {
  if (status.phase() != ModelStatus::FAILED) return false;
  if (status.release() > row.release())
    return true;  // it accepted a higher one and will not go below
  // It was assigned before: it does not refuse an older assignment now.
  return told_before && std::ranges::find(kRefusals, status.reason()) != std::end(kRefusals);
}

std::string ReasonOf(const ModelStatus& status) {
  std::string reason = status.detail().empty()
                           ? status.reason()
                           : fmt::format("{}: {}", status.reason(), status.detail());
  if (reason.empty()) return "failed";
  if (reason.size() > kMaxRowReason)
    reason = fmt::format("{}: see the device", status.reason());  // never half a character
  return reason;
}

struct Outcome {
  RolloutDevice::State state;
  RolloutDevice::Code code;
  std::string reason;
  std::string artifact = {};  // what the device stepped down to; empty: nothing
};

// The row's artifact, or one of its steps down, that the device reports to run.
const std::string* RunningOf(const RolloutDevice& row, const ModelStatus& status) {
  if (IsArtifact(row.artifact(), status.active_manifest())) return &row.artifact();
  const auto step = std::ranges::find_if(row.step_down(), [&](const std::string& name) {
    return IsArtifact(name, status.active_manifest());
  });
  return step == row.step_down().end() ? nullptr : &*step;
}

std::string Cut(std::string text) {
  // Never half a character.
  return text.size() > kMaxRowReason ? "see the device" : text;
}

Outcome Healthy(const ModelStatus& status, const std::string& artifact) {
  Outcome healthy{RolloutDevice::HEALTHY, RolloutDevice::CODE_UNSPECIFIED, "", artifact};
  if (status.stepped_down().empty()) return healthy;
  const v1::StepDown& last = *status.stepped_down().rbegin();
  healthy.code = CodeOf(last.reason());
  healthy.reason = "stepped down: " + Cut(fmt::format("{}: {}", last.reason(), last.detail()));
  return healthy;
}

Outcome Failure(const ModelStatus& status) {
  return {RolloutDevice::FAILED, CodeOf(status.reason()), ReasonOf(status)};
}

Outcome Forward(const RolloutDevice& row, const ModelStatus* status) {
  const bool told_before = row.state() != RolloutDevice::PENDING;
  Outcome next{told_before ? row.state() : RolloutDevice::IN_PROGRESS, row.code(), row.reason()};
  if (!status) return next;
  if (status->release() == row.release()) {
    if (status->phase() == ModelStatus::FAILED) return Failure(*status);
    // A device that failed and recovers counts as healthy; its attempts on the way do not reopen
    // the row.
    if (status->phase() == ModelStatus::HEALTHY)
      if (const std::string* running = RunningOf(row, *status)) return Healthy(*status, *running);
    if (!IsInFlight(row.state())) return next;
    if (status->phase() == ModelStatus::AWAITING_APPROVAL)
      return {next.state, RolloutDevice::OVER_BUDGET, Cut(status->detail())};
    if (row.code() == RolloutDevice::OVER_BUDGET)
      return {next.state, RolloutDevice::CODE_UNSPECIFIED, ""};
  } else if (IsInFlight(row.state()) &&
             Refuses(row, *status, row.state() == RolloutDevice::IN_PROGRESS)) {
    return Failure(*status);
  }
  return next;
}

Outcome Back(const RolloutDevice& row, const ModelStatus* status) {
  Outcome next{row.state(), row.code(), row.reason()};
  if (!status) return next;
  if (status->release() == row.release()) {
    const bool there = row.previous_artifact().empty()
                           ? status->phase() == ModelStatus::REMOVED
                           : status->phase() == ModelStatus::HEALTHY &&
                                 IsArtifact(row.previous_artifact(), status->active_manifest());
    if (there)
      next.state = RolloutDevice::ROLLED_BACK;
    else if (status->phase() == ModelStatus::FAILED)
      next = Failure(*status);
  } else if (status->release() > row.release() && status->phase() == ModelStatus::FAILED) {
    next = Failure(*status);
  }
  return next;
}

// It ends here, and the device's further reports do not move it.
void Close(RolloutDevice& row, RolloutDevice::State state, RolloutDevice::Code code,
           std::string_view reason, Time now) {
  row.set_state(state);
  row.set_code(code);
  row.set_reason(std::string(reason));
  row.set_finished_ms(ToUnixMillis(now));
  row.clear_deadline_ms();
}

void Assigned(RolloutDevice& row, RolloutDevice::State state, const RowFacts& facts) {
  row.set_state(state);
  row.set_release(facts.release);
  row.set_told_ms(ToUnixMillis(facts.now));
  row.set_deadline_ms(facts.deadline_ms);
  row.clear_finished_ms();
}

bool Report(RolloutDevice& row, const RowFacts& facts) {
  const Outcome next = row.state() == RolloutDevice::ROLLING_BACK ? Back(row, facts.status)
                                                                  : Forward(row, facts.status);
  if (row.state() == next.state && row.reason() == next.reason && row.code() == next.code)
    return false;
  if (!next.artifact.empty()) row.set_artifact(next.artifact);
  if (IsOver(next.state)) {
    Close(row, next.state, next.code, next.reason, facts.now);
  } else {
    row.set_state(next.state);
    row.set_code(next.code);
    row.set_reason(next.reason);
  }
  return true;
}

std::string WhyTimedOut(const RolloutDevice& row, Time now) {
  if (row.told_ms() == 0) return "timed out";
  return fmt::format("timed out: assigned {} s ago and not finished",
                     (ToUnixMillis(now) - row.told_ms()) / 1000);
}

std::string WhyEnded(const RolloutDevice& row, std::string_view rollout) {
  if (row.state() == RolloutDevice::QUEUED) return "the rollout ended before the device's turn";
  return fmt::format(
      "the rollout ended while the device was in flight; it may still take what it was assigned: "
      "run `quantfleet rollout rollback {}` to roll it back",
      rollout);
}

}  // namespace

bool IsInFlight(RolloutDevice::State state) {
  return state == RolloutDevice::PENDING || state == RolloutDevice::IN_PROGRESS;
}

bool IsOver(RolloutDevice::State state) {
  return state != RolloutDevice::QUEUED && state != RolloutDevice::ROLLING_BACK &&
         !IsInFlight(state);
}

bool Concerns(RowEvent event, const RolloutDevice& row) {
  const RolloutDevice::State state = row.state();
  const bool finished = state == RolloutDevice::HEALTHY || state == RolloutDevice::FAILED;
  switch (event) {
    case RowEvent::kSuit:
    case RowEvent::kUnsuit:
      return state == RolloutDevice::STATE_UNSPECIFIED || state == RolloutDevice::QUEUED;
    case RowEvent::kHold:
    case RowEvent::kAssign:
    case RowEvent::kOutrank:
      return state == RolloutDevice::QUEUED;
    case RowEvent::kReport:
      if (state == RolloutDevice::ROLLING_BACK) return true;
      // One that failed before it was assigned, or whose rollback failed, has nothing to report on.
      return (IsInFlight(state) || finished) && row.release() > 0 && !row.taken_back();
    case RowEvent::kAllow:
      return state == RolloutDevice::IN_PROGRESS && row.code() == RolloutDevice::OVER_BUDGET;
    case RowEvent::kTimeOut:
      return IsInFlight(state) || state == RolloutDevice::ROLLING_BACK;
    case RowEvent::kRevoke:
    case RowEvent::kSupersede:
      return !IsOver(state);
    case RowEvent::kEnd:
      return state == RolloutDevice::QUEUED || IsInFlight(state);
    case RowEvent::kRollBack:
      return (IsInFlight(state) || finished || state == RolloutDevice::SKIPPED) &&
             row.release() > 0 && !row.taken_back();
  }
  return false;
}

bool Move(RolloutDevice& row, RowEvent event, const RowFacts& facts) {
  if (!Concerns(event, row)) return false;
  const auto skip = [&](RolloutDevice::Code code, std::string_view why) {
    Close(row, RolloutDevice::SKIPPED, code, why, facts.now);
  };
  switch (event) {
    case RowEvent::kSuit:
      row.set_state(RolloutDevice::QUEUED);
      break;
    case RowEvent::kUnsuit:
      row.set_state(RolloutDevice::SKIPPED);
      row.set_code(facts.code);
      row.set_reason(std::string(facts.why));
      break;
    case RowEvent::kHold:
      if (row.code() == RolloutDevice::ARTIFACT_UNAVAILABLE && row.reason() == facts.why)
        return false;
      row.set_code(RolloutDevice::ARTIFACT_UNAVAILABLE);
      row.set_reason(std::string(facts.why));
      break;
    case RowEvent::kAssign:
      Assigned(row, RolloutDevice::PENDING, facts);
      break;
    case RowEvent::kReport:
      return Report(row, facts);
    case RowEvent::kAllow:
      Assigned(row, RolloutDevice::PENDING, facts);
      row.clear_code();
      row.clear_reason();
      break;
    case RowEvent::kTimeOut:
      Close(row, RolloutDevice::FAILED, RolloutDevice::TIMED_OUT, WhyTimedOut(row, facts.now),
            facts.now);
      break;
    case RowEvent::kRevoke:
      skip(RolloutDevice::REVOKED, facts.why);
      break;
    case RowEvent::kSupersede:
      skip(RolloutDevice::SUPERSEDED, fmt::format("superseded by {}", facts.why));
      break;
    case RowEvent::kOutrank:
      skip(RolloutDevice::OUTRANKED, facts.why);
      break;
    case RowEvent::kEnd:
      skip(RolloutDevice::CANCELLED, WhyEnded(row, facts.why));
      break;
    case RowEvent::kRollBack:
      Assigned(row, RolloutDevice::ROLLING_BACK, facts);
      row.set_taken_back(true);
      break;
  }
  return true;
}

RolloutDevice::Code CodeOf(std::string_view reason) {
  static constexpr std::pair<std::string_view, RolloutDevice::Code> kCodes[] = {
      {"disk_full", RolloutDevice::DISK_FULL},
      {"verify_failed", RolloutDevice::VERIFY_FAILED},
      {"health_failed", RolloutDevice::HEALTH_FAILED},
      {"too_slow", RolloutDevice::TOO_SLOW},
      {"out_of_memory", RolloutDevice::OUT_OF_MEMORY},
      {"rollback_refused", RolloutDevice::REFUSED},
      {"assignment_refused", RolloutDevice::REFUSED},
      {"runtime_refused", RolloutDevice::REFUSED},
      {"artifact_unavailable", RolloutDevice::ARTIFACT_UNAVAILABLE},
      {"state_damaged", RolloutDevice::STATE_DAMAGED},
  };
  const auto found =
      std::ranges::find(kCodes, reason, [](const auto& entry) { return entry.first; });
  return found == std::end(kCodes) ? RolloutDevice::OTHER : found->second;
}

}  // namespace quantfleet::daemon
