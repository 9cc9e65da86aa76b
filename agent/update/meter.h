// Holds one download to its class's network policy: pays each piece out of the budget before it is
// asked for, and waits as long as the rate wants. Used by one thread.
#pragma once

#include <stop_token>
#include <string>

#include "agent/update/blob_source.h"
#include "agent/update/data_budget.h"
#include "agent/update/sleeper.h"

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

  // Why so many bytes are not to be pulled without an operator's word, for people; empty where
  // nothing stands against it.
  std::string WhyNot(uint64_t bytes) const;
  // Whether a piece was refused: what came out of the download then is no fault of the network.
  bool refused() const { return refused_; }
  // How a BlobSource is to pull.
  Pull pull();

 private:
  bool HasBudget() const { return policy_.budget_bytes() > 0 && !policy_.over_budget(); }
  absl::Status Pay(uint64_t bytes);

  const v1::NetworkPolicy& policy_;
  DataBudget& budget_;
  const Clock& clock_;
  Sleeper& sleeper_;
  const std::stop_token stop_;
  Duration due_{0};  // monotonic: before that the next piece is not asked for
  bool refused_ = false;
};

}  // namespace quantfleet::agent
