// The state machine of one device in one rollout: its row. Pure: no store, no clock. Nothing else
// sets a row's state; machine.h does so for the rollout's own.
//
//   QUEUED -> PENDING -> IN_PROGRESS -> HEALTHY or FAILED, and from one of these to the other
//   whoever is not finished -> SKIPPED;  whoever was assigned something -> ROLLING_BACK ->
//   ROLLED_BACK or FAILED
#pragma once

#include <cstdint>
#include <string_view>

#include "common/base/clock.h"
#include "common/base/status.h"
#include "quantfleet/v1/types.pb.h"

namespace quantfleet::daemon {

bool IsInFlight(v1::RolloutDevice::State state);  // assigned, and neither finished nor rolled back

// Its rollout wants nothing from the device any more.
bool IsOver(v1::RolloutDevice::State state);

// What happens to a row.
enum class RowEvent {
  kSuit,       // the rollout has something for the device
  kUnsuit,     // it has nothing
  kHold,       // its turn has come, but nobody could download the artifact
  kAssign,     // its turn has come: it was assigned the row's artifact
  kReport,     // it checked in
  kAllow,      // it may download beyond its budget: it was assigned anew
  kTimeOut,    // its deadline has passed
  kRevoke,     // the device does not belong to the fleet any more
  kSupersede,  // another rollout of the model took it
  kOutrank,    // another rollout of the model keeps it
  kEnd,        // the rollout is over
  kRollBack,   // it was assigned what it ran before
};

// What comes with an event; each field says with which.
struct RowFacts {
  Time now = {};                            // with all but kSuit, kUnsuit and kHold
  std::string_view why = {};                // kUnsuit, kHold, kRevoke, kOutrank: in words;
                                            // kSupersede: the other rollout's name; kEnd: the
                                            // rollout's own
  v1::RolloutDevice::Code code = {};        // kUnsuit
  const v1::ModelStatus* status = nullptr;  // kReport; null: the device does not mention the model
  uint64_t release = 0;                     // kAssign, kAllow, kRollBack: of the assignment
  int64_t deadline_ms = 0;                  // of the same, milliseconds since 1970
};

// Whether the event concerns a row in this state. A kReport may still say nothing new.
bool Concerns(RowEvent event, const v1::RolloutDevice& row);

// Moves the row as the event requires; false, with the row untouched, when it means nothing (new)
// to it. The answer to a check-in carries the assignment, so a row that was assigned is IN_PROGRESS
// from its first report on.
bool Move(v1::RolloutDevice& row, RowEvent event, const RowFacts& facts);

// The code for what agents report as reason (agent/update).
v1::RolloutDevice::Code CodeOf(std::string_view reason);

}  // namespace quantfleet::daemon
