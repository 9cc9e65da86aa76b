// Holds one download to its class's network policy: takes each piece from the budget before it is
// requested, and waits as long as the rate requires. Used by one thread.
#pragma once

#include <stop_token>
#include <string>

#include "agent/update/data_budget.h"
#include "agent/update/sleeper.h"
#include "agent/update/verdict.h"

namespace quantfleet::agent {

class Meter {
 public:
  // All of them outlive the meter.
  Meter(const v1::NetworkPolicy& policy, DataBudget& budget, const Clock& clock, Sleeper& sleeper,
        std::stop_token stop)
      : policy_(policy),
        budget_(budget),
        clock_(clock),
        sleeper_(sleeper),
        stop_(std::move(stop)) {}

  // kOverBudget: so many bytes are not to be pulled without an operator's word.
  Verdict MayPull(uint64_t bytes) const;
  // How many of so many bytes are to be asked for at once.
  uint64_t Piece(uint64_t wanted) const;
  // Before so many are asked for. kOverBudget, or kInterrupted by the stop.
  Verdict Pay(uint64_t bytes);
  // Of what was paid last, so many did not come.
  Verdict TakeBack(uint64_t bytes);

 private:
  bool HasBudget() const { return policy_.budget_bytes() > 0; }

  const v1::NetworkPolicy& policy_;
  DataBudget& budget_;
  const Clock& clock_;
  Sleeper& sleeper_;
  const std::stop_token stop_;
  Duration due_{0};  // monotonic: the next piece is not requested before that
};

}  // namespace quantfleet::agent
