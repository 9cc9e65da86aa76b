#include "daemon/rollout/machine.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "daemon/rollout/pace.h"
#include "daemon/store/stored_time.h"

namespace quantfleet::daemon {
namespace {

using v1::Rollout;
using v1::RolloutPlan;

uint64_t Minus(uint64_t a, uint64_t b) { return a > b ? a - b : 0; }

const v1::RolloutPhase& PhaseOf(const Rollout& rollout) {
  return rollout.plan().phases(static_cast<int>(rollout.phase()));
}
bool IsLast(const Rollout& rollout) {
  return rollout.phase() + 1 >= static_cast<uint32_t>(rollout.plan().phases_size());
}

// Of the phases up to the current one.
PhaseCount Reached(const Rollout& rollout, const PhaseCounts& counts) {
  const size_t n = std::min(counts.size(), static_cast<size_t>(rollout.phase()) + 1);
  return SumOf(PhaseCounts(counts.begin(), counts.begin() + static_cast<ptrdiff_t>(n)));
}

uint32_t SuccessPercent(const RolloutPlan& plan) {
  if (plan.has_success_percent()) return plan.success_percent();
  return plan.phases_size() > 1 ? 100 : 0;
}

// Why too many devices have failed; nullopt if they have not. Forgiven failures do not count.
std::optional<std::string> TooManyFailures(const Rollout& rollout, const PhaseCount& all) {
  const RolloutPlan& plan = rollout.plan();
  const uint64_t failed = Minus(all.failed, rollout.forgiven_failed());
  const uint64_t finished = std::max(failed, Minus(all.finished(), rollout.forgiven_executed()));
  if (finished < std::max<uint64_t>(1, plan.min_executed())) return std::nullopt;
  if (plan.has_max_failures() && failed > plan.max_failures())
    return fmt::format("failed devices: {}, which exceeds the limit of {}", failed,
                       plan.max_failures());
  if (plan.has_max_failure_percent() && failed * 100 > finished * plan.max_failure_percent())
    return fmt::format("failed devices: {} of {}, which exceeds the limit of {} %", failed,
                       finished, plan.max_failure_percent());
  return std::nullopt;
}

// Called when the current phase's devices have finished.
std::optional<std::string> TooFewHealthy(const Rollout& rollout, const PhaseCounts& counts) {
  const PhaseCount& phase = counts[rollout.phase()];
  const uint32_t least = SuccessPercent(rollout.plan());
  if (rollout.phase_forgiven() || phase.finished() == 0 ||
      phase.healthy * 100 >= phase.finished() * least)
    return std::nullopt;
  return fmt::format("phase {}: {} of {} devices are healthy, which is below the limit of {} %",
                     rollout.phase() + 1, phase.healthy, phase.finished(), least);
}

class Step {
 public:
  Step(const Rollout& rollout, const PhaseCounts& counts, Time now)
      : counts_(counts), all_(SumOf(counts)), now_ms_(ToUnixMillis(now)) {
    decision_.rollout = rollout;
  }

  Decision Tick() {
    switch (rollout().state()) {
      case Rollout::RUNNING:
      case Rollout::SOAKING:
      case Rollout::AWAITING_APPROVAL:
        if (const auto why = TooManyFailures(rollout(), all_))
          GiveUp(*why);
        else
          Advance();
        break;
      case Rollout::ROLLING_BACK:
        if (all_.rolling_back == 0) Finish(Rollout::ROLLED_BACK, rollout().reason());
        break;
      default:
        break;
    }
    return std::move(decision_);
  }

  Decision Act(RolloutEvent event, std::string_view why) {
    const Rollout::State state = rollout().state();
    switch (event) {
      case RolloutEvent::kPause:
        if (state == Rollout::PAUSED) break;
        if (!IsActive(state) || state == Rollout::ROLLING_BACK) return Refuse("paused", "active");
        Enter(Rollout::PAUSED, why.empty() ? "paused by an operator" : why);
        break;
      case RolloutEvent::kResume:
        if (state == Rollout::PAUSED)
          Resume();
        else if (!IsActive(state) || state == Rollout::ROLLING_BACK)
          return Refuse("resumed", "PAUSED");
        break;
      case RolloutEvent::kApprove:
        if (state != Rollout::DRAFT && state != Rollout::AWAITING_APPROVAL)
          return Refuse("approved", "DRAFT or AWAITING_APPROVAL");
        if (state == Rollout::DRAFT) decision_.rows = Decision::Rows::kClaim;
        Open();
        break;
      case RolloutEvent::kAbort:
        if (state == Rollout::ABORTED) break;
        if (IsFinal(state) || state == Rollout::ROLLING_BACK) return Refuse("aborted", "not ended");
        Abort(why.empty() ? "aborted by an operator" : why);
        break;
      case RolloutEvent::kRollBack:
        if (state == Rollout::ROLLING_BACK || state == Rollout::ROLLED_BACK) break;
        if (state == Rollout::DRAFT) return Refuse("rolled back", "begun");
        TakeBack(why.empty() ? "rolled back by an operator" : why);
        break;
      case RolloutEvent::kJoin:
        if (state == Rollout::COMPLETED)
          Reopen();
        else if (!IsActive(state) || state == Rollout::ROLLING_BACK)
          return Refuse("joined", "under way or COMPLETED");
        break;
      case RolloutEvent::kTick:
        return Tick();
    }
    return std::move(decision_);
  }

 private:
  Rollout& rollout() { return decision_.rollout; }

  Decision Refuse(std::string_view verb, std::string_view when) {
    decision_.outcome = Decision::Outcome::kRefused;
    decision_.refusal = fmt::format("{} is {}: a rollout must be {} to be {}", rollout().name(),
                                    Rollout::State_Name(rollout().state()), when, verb);
    return std::move(decision_);
  }

  void Enter(Rollout::State state, std::string_view reason) {
    rollout().set_state(state);
    rollout().set_reason(std::string(reason));
    if (state != Rollout::SOAKING) rollout().clear_soak_ends_ms();
    decision_.outcome = Decision::Outcome::kMoves;
  }
  void Finish(Rollout::State state, std::string_view reason) {
    Enter(state, reason);
    rollout().set_finished_ms(now_ms_);
  }
  void Open() {
    rollout().set_phase_open(true);
    rollout().set_phase_opened_ms(now_ms_);
    Enter(Rollout::RUNNING, "");
  }
  void Resume() {
    rollout().set_forgiven_failed(static_cast<uint32_t>(all_.failed));
    rollout().set_forgiven_executed(static_cast<uint32_t>(all_.finished()));
    rollout().set_phase_forgiven(true);
    Enter(rollout().phase_open() ? Rollout::RUNNING : Rollout::AWAITING_APPROVAL, "");
  }
  void Reopen() {
    rollout().clear_finished_ms();
    Enter(Rollout::RUNNING, "");
  }
  void Abort(std::string_view why) {
    decision_.rows = Decision::Rows::kClose;
    Finish(Rollout::ABORTED, why);
  }
  void TakeBack(std::string_view why) {
    decision_.rows = Decision::Rows::kRollBack;
    rollout().clear_finished_ms();
    Enter(Rollout::ROLLING_BACK, why);
  }
  void GiveUp(std::string_view why) {
    switch (rollout().plan().on_failure()) {
      case RolloutPlan::ROLL_BACK:
        TakeBack(why);
        break;
      case RolloutPlan::ABORT:
        Abort(why);
        break;
      default:
        Enter(Rollout::PAUSED, why);
        break;
    }
  }

  void Advance() {
    if (!rollout().phase_open()) {
      // Nobody is left behind the gate: a newer rollout took them, or they were revoked.
      if (all_.queued == 0 && all_.in_flight == 0 && !rollout().plan().dynamic()) return Complete();
      if (rollout().state() != Rollout::AWAITING_APPROVAL) Enter(Rollout::AWAITING_APPROVAL, "");
      return;
    }
    const PhaseCount reached = Reached(rollout(), counts_);
    if (reached.queued > 0 || reached.in_flight > 0) {
      // Devices that joined, or recovered and failed again, while the phase soaked: it continues
      // with them.
      if (rollout().state() != Rollout::RUNNING) Enter(Rollout::RUNNING, "");
      decision_.assign =
          MayAssign(rollout(), reached.queued, all_.in_flight, FromUnixMillis(now_ms_));
      return;
    }
    const int64_t soak_ms = int64_t{PhaseOf(rollout()).soak_seconds()} * 1000;
    if (rollout().state() == Rollout::SOAKING) {
      if (IsFuture(rollout().soak_ends_ms(), now_ms_ + soak_ms)) {
        rollout().set_soak_ends_ms(now_ms_ + soak_ms);  // begun while the clock was ahead: anew
        decision_.outcome = Decision::Outcome::kMoves;
      }
      if (now_ms_ < rollout().soak_ends_ms()) return;
      rollout().set_soaked(true);
      Enter(Rollout::RUNNING, "");
      return;
    }
    if (const auto why = TooFewHealthy(rollout(), counts_)) return GiveUp(*why);
    if (soak_ms > 0 && !rollout().soaked() && counts_[rollout().phase()].healthy > 0) {
      rollout().set_soak_ends_ms(now_ms_ + soak_ms);
      return Enter(Rollout::SOAKING, "");
    }
    if (IsLast(rollout())) return Complete();
    rollout().set_phase(rollout().phase() + 1);
    rollout().set_phase_open(!PhaseOf(rollout()).approval());
    rollout().set_phase_opened_ms(now_ms_);
    rollout().set_soaked(false);
    rollout().set_phase_forgiven(false);
    Enter(rollout().phase_open() ? Rollout::RUNNING : Rollout::AWAITING_APPROVAL, "");
  }

  // Failures that a limit tolerates, or that an operator forgave, do not make the rollout fail.
  void Complete() {
    const RolloutPlan& plan = rollout().plan();
    const bool tolerated =
        plan.has_max_failures() || plan.has_max_failure_percent() || plan.has_success_percent() ||
        (rollout().forgiven_failed() > 0 && all_.failed <= rollout().forgiven_failed());
    if (all_.failed == 0 || tolerated)
      Finish(Rollout::COMPLETED, "");
    else
      Finish(Rollout::FAILED,
             fmt::format("failed devices: {} of {}", all_.failed, all_.finished()));
  }

  const PhaseCounts& counts_;
  const PhaseCount all_;
  const int64_t now_ms_;
  Decision decision_;
};

}  // namespace

PhaseCount SumOf(const PhaseCounts& counts) {
  PhaseCount sum;
  for (const PhaseCount& c : counts) {
    sum.queued += c.queued;
    sum.in_flight += c.in_flight;
    sum.healthy += c.healthy;
    sum.failed += c.failed;
    sum.rolling_back += c.rolling_back;
  }
  return sum;
}

bool IsFinal(Rollout::State state) {
  return state == Rollout::COMPLETED || state == Rollout::FAILED || state == Rollout::ABORTED ||
         state == Rollout::ROLLED_BACK;
}

bool IsActive(Rollout::State state) { return !IsFinal(state) && state != Rollout::DRAFT; }

void Begin(Rollout& rollout, bool draft, Time now) {
  rollout.set_state(draft ? Rollout::DRAFT : Rollout::RUNNING);
  rollout.set_created_ms(ToUnixMillis(now));
  rollout.set_phase_opened_ms(rollout.created_ms());
  rollout.set_phase_open(!PhaseOf(rollout).approval());
}

Gate GateOf(const Rollout& rollout, uint32_t phase) {
  const uint32_t reached = rollout.phase() + 1;
  if (phase > reached) return Gate::kNotReached;
  const bool waits =
      phase == reached && (!rollout.phase_open() || rollout.state() == Rollout::DRAFT);
  return waits ? Gate::kWaits : Gate::kPassed;
}

absl::StatusOr<Decision> Decide(const Rollout& rollout, const PhaseCounts& counts, Time now,
                                RolloutEvent event, std::string_view why) {
  if (rollout.plan().phases_size() == 0 ||
      counts.size() != static_cast<size_t>(rollout.plan().phases_size()) ||
      rollout.phase() >= counts.size())
    return Internal("{}: the plan has {} phases, but the rollout is in phase {}", rollout.name(),
                    rollout.plan().phases_size(), rollout.phase() + 1);
  return Step(rollout, counts, now).Act(event, why);
}

}  // namespace quantfleet::daemon
