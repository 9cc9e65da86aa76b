// The rollout's state machine: where a rollout goes, given what its devices have come to. Pure: no
// store, no clock.
//
//   DRAFT -> (AWAITING_APPROVAL) -> RUNNING -> SOAKING -> next phase ... -> COMPLETED, FAILED
//   any of them but DRAFT -> PAUSED and back;  any -> ABORTED;  any -> ROLLING_BACK -> ROLLED_BACK
//
// It is level-triggered: Decide looks at the whole persisted state, never at what has changed, so
// it may be asked after each report, on each tick and after each restart, and a wake-up that is
// lost or doubled changes nothing.
#pragma once

#include <cstdint>
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
  // Those that count as through. SKIPPED ones never count.
  uint64_t executed() const { return healthy + failed; }
};
using PhaseCounts = std::vector<PhaseCount>;  // one per phase of the plan

PhaseCount SumOf(const PhaseCounts& counts);

// kTick: nothing but time and the devices. The others are what operators ask for.
enum class RolloutEvent { kTick, kPause, kResume, kApprove, kAbort, kRollBack };

struct Decision {
  v1::Rollout head;      // as it is from now on
  bool changed = false;  // `head` differs
  uint64_t tell = 0;     // so many devices may be told now, of phases up to head.phase
  enum class Rows {
    kKeep,
    kClose,
    kTakeBack
  } rows = Rows::kKeep;  // kClose: who is not through gets no further
};

// One step; ask again with kTick until it neither changes nor tells. FAILED_PRECONDITION: the event
// does not fit the state; the message says what does. `why`: the operator's words for it.
absl::StatusOr<Decision> Decide(const v1::Rollout& head, const PhaseCounts& counts, Time now,
                                RolloutEvent event, std::string_view why = "");

bool IsFinal(v1::Rollout::State state);
bool IsActive(v1::Rollout::State state);  // neither final nor a draft

}  // namespace quantfleet::daemon
