// Which of a layer's experts a token goes through, and how much each counts. Pure.
#pragma once

#include <cstdint>
#include <span>

#include "pipeline/family/family.h"

namespace quantfleet::engine {

struct Choice {
  int32_t expert;
  float weight;
};

// Fills `chosen` (no more than there are scores) with different experts, the best first; of equal
// scores the first. `scores` are the router's, one per expert, whatever they are: one that is not a
// number is never better than another.
void ChooseExperts(pipeline::Routing routing, std::span<const float> scores,
                   std::span<Choice> chosen);

}  // namespace quantfleet::engine
