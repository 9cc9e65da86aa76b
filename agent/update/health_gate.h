// What an activation must show before it counts. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agent/update/verdict.h"
#include "quantfleet/v1/trust.pb.h"

namespace quantfleet::agent {

// What was seen of a model that has just been loaded.
struct Health {
  double tokens_per_second = 0;
  double golden_agreement = 1;  // share of the golden answers' tokens; 1 where there are none
  uint64_t memory_available_bytes = 0;  // of the machine; 0: not known
  std::string note = {};                // what could not be looked at, and why; empty: nothing
};

struct HealthGate {
  v1::HealthPolicy policy;               // of the device's class, as the assignment brought it
  std::vector<v1::GoldenPrompt> golden;  // of the artifact's evaluation

  // kHealthFailed: it says something else than where it was made; kTooSlow; kOutOfMemory: it leaves
  // too little. The detail has both figures.
  Verdict Check(const Health& health) const;
  // Only the last of these checks. `available`: as in Health.
  Verdict CheckMemory(uint64_t available) const;
};

}  // namespace quantfleet::agent
