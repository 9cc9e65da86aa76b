// The rollout's state machine: where a rollout goes, given what its devices have come to. Pure: no
// store, no clock. Nothing else sets a rollout's state; row.h does so for a device's state in it.
//
//   DRAFT -> (AWAITING_APPROVAL) -> RUNNING -> SOAKING -> next phase ... -> COMPLETED, FAILED
//   any of them but DRAFT -> PAUSED and back;  any -> ABORTED;  any -> ROLLING_BACK -> ROLLED_BACK
//   COMPLETED -> RUNNING when a device joins
//
// It is level-triggered: Decide looks at the whole persisted state, never at what has changed, so
// it may be called after each report, on each tick and after each restart, and a lost or repeated
// wake-up changes nothing.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/clock.h"
#include "common/base/status.h"
#include "quantfleet/v1/types.pb.h"

namespace quantfleet::daemon {

struct PhaseCount {
  uint64_t queued = 0, in_flight = 0;  // in flight: PENDING or IN_PROGRESS
  uint64_t healthy = 0, failed = 0;
  uint64_t rolling_back = 0;
  // Those that count as finished. SKIPPED ones never count.
  uint64_t finished() const { return healthy + failed; }
};
using PhaseCounts = std::vector<PhaseCount>;  // one per phase of the plan

PhaseCount SumOf(const PhaseCounts& counts);

// kTick: only time and the devices. kJoin: a device that joined later is to have its turn. The
// others are requests of operators.
enum class RolloutEvent { kTick, kPause, kResume, kApprove, kAbort, kRollBack, kJoin };

// What follows from an event.
struct Decision {
  enum class Outcome {
    kStays,    // the state stays as it is; devices may be assigned all the same
    kMoves,    // `rollout` differs
    kRefused,  // the event is not allowed in this state
  } outcome = Outcome::kStays;
  v1::Rollout rollout;  // as it is from now on
  uint64_t assign = 0;  // how many devices may be assigned now, of phases up to rollout.phase
  std::string refusal;  // of kRefused: the state, and which states allow the event
  // What happens to the devices' rows before `rollout` is stored.
  enum class Rows {
    kKeep,
    kClaim,    // the rollout begins: it takes each device, or the row is OUTRANKED
    kClose,    // unfinished devices are skipped
    kRollBack  // devices that were assigned something roll back
  } rows = Rows::kKeep;
};

// Puts a rollout that has a plan into its first state.
void Begin(v1::Rollout& rollout, bool draft, Time now);

// One step; ask again with kTick until it neither moves nor assigns. `why`: the operator's words
// for it. INTERNAL: the record contradicts itself.
absl::StatusOr<Decision> Decide(const v1::Rollout& rollout, const PhaseCounts& counts, Time now,
                                RolloutEvent event, std::string_view why = "");

// Where the rollout stands before the gate of a phase, from 1.
enum class Gate { kNotReached, kWaits, kPassed };
Gate GateOf(const v1::Rollout& rollout, uint32_t phase);

bool IsFinal(v1::Rollout::State state);
bool IsActive(v1::Rollout::State state);  // neither final nor a draft

}  // namespace quantfleet::daemon
