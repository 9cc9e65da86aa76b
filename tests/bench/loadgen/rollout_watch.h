// The operator's part of a rollout under load: creates it, opens its gates, and at each pause
// judges whether it came where the plan says and how many more devices were told than it took.
#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <optional>
#include <set>
#include <vector>

#include "quantfleet/v1/types.pb.h"
#include "tests/bench/loadgen/identities.h"
#include "tests/bench/loadgen/scenarios.h"

namespace quantfleet::cli {
class OperatorClient;
}

namespace quantfleet::loadgen {

struct Pause {
  uint64_t executed = 0, failed = 0;  // when nobody was under way any more
  uint64_t executed_at_limit =
      0;  // through when the plan's limit on failures was exceeded; 0: it was not
  uint64_t told_when_seen = 0,
           told = 0;  // when the pause was first seen, and when nobody was under way any more
  uint64_t overshoot() const { return executed_at_limit > 0 ? told - executed_at_limit : 0; }
};

// `rollout`: paused, with its devices, nobody under way. Replays its rows in the order in which
// they were through against the plan's limits (max_failures, max_failure_percent, min_executed;
// forgiven ones do not count).
Pause JudgePause(const v1::Rollout& rollout, uint64_t told_when_seen);

class RolloutWatch {
 public:
  RolloutWatch(const Target& target, const RolloutOptions& options)
      : target_(target), options_(options) {}

  absl::Status Create(const std::vector<Identity>& identities);
  // Until the rollout is over. DEADLINE_EXCEEDED after the options' timeout.
  absl::Status Steer();

  // {"rollout", "state", "create_seconds", "healthy", "failed", "gates", "most_in_flight",
  // "max_in_flight", "pauses": [...]}
  boost::json::object Report() const;
  // What is against the plan, one line each; empty: nothing.
  std::vector<std::string> Violations() const;

 private:
  absl::Status Look(cli::OperatorClient& client);
  absl::Status Act(cli::OperatorClient& client);
  absl::Status OpenGate(cli::OperatorClient& client);
  absl::Status AfterPause(cli::OperatorClient& client);

  const Target target_;
  const RolloutOptions options_;
  v1::Rollout rollout_;  // as last seen
  double create_seconds_ = 0;
  std::set<uint32_t> gates_;  // phases that were approved
  uint64_t most_in_flight_ = 0;
  std::vector<Pause> pauses_;
  boost::json::array pause_reports_;
  std::optional<uint64_t> told_when_seen_;  // of the pause that has been seen and not judged
};

}  // namespace quantfleet::loadgen
