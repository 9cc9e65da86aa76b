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

const v1::RolloutPhase& PhaseOf(const Rollout& head) {
  return head.plan().phases(static_cast<int>(head.phase()));
}
bool IsLast(const Rollout& head) {
  return head.phase() + 1 >= static_cast<uint32_t>(head.plan().phases_size());
}

// Of the phases up to the current one.
PhaseCount Reached(const Rollout& head, const PhaseCounts& counts) {
  const size_t n = std::min(counts.size(), static_cast<size_t>(head.phase()) + 1);
  return SumOf(PhaseCounts(counts.begin(), counts.begin() + static_cast<ptrdiff_t>(n)));
}

uint32_t SuccessPercent(const RolloutPlan& plan) {
  if (plan.has_success_percent()) return plan.success_percent();
  return plan.phases_size() > 1 ? 100 : 0;
}

// Why too many devices have failed; nullopt while they have not. What was forgiven does not count
// any more.
std::optional<std::string> TooManyFailures(const Rollout& head, const PhaseCount& all) {
  const RolloutPlan& plan = head.plan();
  const uint64_t failed = Minus(all.failed, head.forgiven_failed());
  const uint64_t executed = std::max(failed, Minus(all.executed(), head.forgiven_executed()));
  if (executed < std::max<uint64_t>(1, plan.min_executed())) return std::nullopt;
  if (plan.has_max_failures() && failed > plan.max_failures())
    return fmt::format("failed devices: {}, which exceeds the limit of {}", failed,
                       plan.max_failures());
  if (plan.has_max_failure_percent() && failed * 100 > executed * plan.max_failure_percent())
    return fmt::format("failed devices: {} of {}, which exceeds the limit of {} %", failed,
                       executed, plan.max_failure_percent());
  return std::nullopt;
}

// Asked when the current phase's devices are finished.
std::optional<std::string> TooFewHealthy(const Rollout& head, const PhaseCounts& counts) {
  const PhaseCount& phase = counts[head.phase()];
  const uint32_t least = SuccessPercent(head.plan());
  if (head.phase_forgiven() || phase.executed() == 0 ||
      phase.healthy * 100 >= phase.executed() * least)
    return std::nullopt;
  return fmt::format("phase {}: {} of {} devices are healthy, which is below the limit of {} %",
                     head.phase() + 1, phase.healthy, phase.executed(), least);
}

class Step {
 public:
  Step(const Rollout& head, const PhaseCounts& counts, Time now)
      : counts_(counts), all_(SumOf(counts)), now_ms_(ToUnixMillis(now)) {
    decision_.head = head;
  }

  Decision Tick() {
    switch (head().state()) {
      case Rollout::RUNNING:
      case Rollout::SOAKING:
      case Rollout::AWAITING_APPROVAL:
        if (const auto why = TooManyFailures(head(), all_))
          GiveUp(*why);
        else
          Advance();
        break;
      case Rollout::ROLLING_BACK:
        if (all_.rolling_back == 0) Finish(Rollout::ROLLED_BACK, head().reason());
        break;
      default:
        break;
    }
    return std::move(decision_);
  }

  Decision Act(RolloutEvent event, std::string_view why) {
    const Rollout::State state = head().state();
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
  Rollout& head() { return decision_.head; }

  Decision Refuse(std::string_view verb, std::string_view when) {
    decision_.outcome = Decision::Outcome::kRefused;
    decision_.refusal = fmt::format("{} is {}: a rollout must be {} to be {}", head().name(),
                                    Rollout::State_Name(head().state()), when, verb);
    return std::move(decision_);
  }

  void Enter(Rollout::State state, std::string_view reason) {
    head().set_state(state);
    head().set_reason(std::string(reason));
    if (state != Rollout::SOAKING) head().clear_soak_ends_ms();
    decision_.outcome = Decision::Outcome::kMoves;
  }
  void Finish(Rollout::State state, std::string_view reason) {
    Enter(state, reason);
    head().set_finished_ms(now_ms_);
  }
  void Open() {
    head().set_phase_open(true);
    head().set_phase_opened_ms(now_ms_);
    Enter(Rollout::RUNNING, "");
  }
  void Resume() {
    head().set_forgiven_failed(static_cast<uint32_t>(all_.failed));
    head().set_forgiven_executed(static_cast<uint32_t>(all_.executed()));
    head().set_phase_forgiven(true);
    Enter(head().phase_open() ? Rollout::RUNNING : Rollout::AWAITING_APPROVAL, "");
  }
  void Reopen() {
    head().clear_finished_ms();
    Enter(Rollout::RUNNING, "");
  }
  void Abort(std::string_view why) {
    decision_.rows = Decision::Rows::kClose;
    Finish(Rollout::ABORTED, why);
  }
  void TakeBack(std::string_view why) {
    decision_.rows = Decision::Rows::kRollBack;
    head().clear_finished_ms();
    Enter(Rollout::ROLLING_BACK, why);
  }
  void GiveUp(std::string_view why) {
    switch (head().plan().on_failure()) {
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
    if (!head().phase_open()) {
      // Nobody is left behind the gate: a newer rollout took them, or they were revoked.
      if (all_.queued == 0 && all_.in_flight == 0 && !head().plan().dynamic()) return Complete();
      if (head().state() != Rollout::AWAITING_APPROVAL) Enter(Rollout::AWAITING_APPROVAL, "");
      return;
    }
    const PhaseCount reached = Reached(head(), counts_);
    if (reached.queued > 0 || reached.in_flight > 0) {
      // Devices that joined, or mended and failed again, while the phase soaked: it goes on with
      // them.
      if (head().state() != Rollout::RUNNING) Enter(Rollout::RUNNING, "");
      decision_.assign = MayAssign(head(), reached.queued, all_.in_flight, FromUnixMillis(now_ms_));
      return;
    }
    const int64_t soak_ms = int64_t{PhaseOf(head()).soak_seconds()} * 1000;
    if (head().state() == Rollout::SOAKING) {
      if (IsFuture(head().soak_ends_ms(), now_ms_ + soak_ms)) {
        head().set_soak_ends_ms(now_ms_ + soak_ms);  // begun while the clock was ahead: anew
        decision_.outcome = Decision::Outcome::kMoves;
      }
      if (now_ms_ < head().soak_ends_ms()) return;
      head().set_soaked(true);
      Enter(Rollout::RUNNING, "");
      return;
    }
    if (const auto why = TooFewHealthy(head(), counts_)) return GiveUp(*why);
    if (soak_ms > 0 && !head().soaked() && counts_[head().phase()].healthy > 0) {
      head().set_soak_ends_ms(now_ms_ + soak_ms);
      return Enter(Rollout::SOAKING, "");
    }
    if (IsLast(head())) return Complete();
    head().set_phase(head().phase() + 1);
    head().set_phase_open(!PhaseOf(head()).approval());
    head().set_phase_opened_ms(now_ms_);
    head().set_soaked(false);
    head().set_phase_forgiven(false);
    Enter(head().phase_open() ? Rollout::RUNNING : Rollout::AWAITING_APPROVAL, "");
  }

  // Failures that a limit tolerates, or that an operator forgave, do not make the whole a failure.
  void Complete() {
    const RolloutPlan& plan = head().plan();
    const bool tolerated =
        plan.has_max_failures() || plan.has_max_failure_percent() || plan.has_success_percent() ||
        (head().forgiven_failed() > 0 && all_.failed <= head().forgiven_failed());
    if (all_.failed == 0 || tolerated)
      Finish(Rollout::COMPLETED, "");
    else
      Finish(Rollout::FAILED,
             fmt::format("failed devices: {} of {}", all_.failed, all_.executed()));
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

void Begin(Rollout& head, bool draft, Time now) {
  head.set_state(draft ? Rollout::DRAFT : Rollout::RUNNING);
  head.set_created_ms(ToUnixMillis(now));
  head.set_phase_opened_ms(head.created_ms());
  head.set_phase_open(!PhaseOf(head).approval());
}

Gate GateOf(const Rollout& head, uint32_t phase) {
  const uint32_t reached = head.phase() + 1;
  if (phase > reached) return Gate::kNotReached;
  const bool waits = phase == reached && (!head.phase_open() || head.state() == Rollout::DRAFT);
  return waits ? Gate::kWaits : Gate::kPassed;
}

absl::StatusOr<Decision> Decide(const Rollout& head, const PhaseCounts& counts, Time now,
                                RolloutEvent event, std::string_view why) {
  if (head.plan().phases_size() == 0 ||
      counts.size() != static_cast<size_t>(head.plan().phases_size()) ||
      head.phase() >= counts.size())
    return Internal("{}: the plan has {} phases, but the rollout is in phase {}", head.name(),
                    head.plan().phases_size(), head.phase() + 1);
  return Step(head, counts, now).Act(event, why);
}

}  // namespace quantfleet::daemon
