// A rollout's plan from the command line: `--phase 1 --phase 10% --phase ring=early --soak 10m
// ...`. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"
#include "quantfleet/v1/types.pb.h"

namespace quantfleet::cli {

// The options as given; empty or 0 if they were not.
struct PlanOptions {
  std::vector<std::string> phases;
  std::string soak, device_timeout, jitter;  // durations: "10m"
  std::string max_failures, on_failure;      // "3" or "5%"; pause, rollback, abort
  int min_success = -1;                      // percent
  uint32_t max_in_flight = 0, min_executed = 0, rate = 0;
  int32_t priority = 0;
  std::optional<double> min_top1_percent, max_kl;
  bool approve = false, dynamic = false;
};

// INVALID_ARGUMENT names the option.
absl::StatusOr<v1::RolloutPlan> MakePlan(const PlanOptions& options);

// "5", "10%", "ring=early,site=lab", "group:lab", "rest".
absl::StatusOr<v1::RolloutPhase> ParsePhase(std::string_view text);
std::string PhaseText(
    const v1::RolloutPhase& phase);  // "up to 10 %", "all the rest, soak 10m, after approval"

}  // namespace quantfleet::cli
