// Holds one download to its class's network policy: takes each piece from the budget before it is
// requested, and waits as long as the rate requires. Used by one thread.
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

  // Why this many bytes need an operator's permission, for people; empty if they do not.
  std::string WhyNot(uint64_t bytes) const;
  // Whether a piece was refused: then it is not the network's fault that the download failed.
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
  Duration due_{0};  // monotonic: the next piece is not requested before that
  bool refused_ = false;
};

}  // namespace quantfleet::agent
