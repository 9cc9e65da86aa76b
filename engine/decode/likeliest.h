// The token that a row of logits makes the likeliest. Pure.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

namespace quantfleet::engine {

// The first of equal ones, as a greedy sampler takes it. `logits` must not be empty.
inline int32_t Likeliest(std::span<const float> logits) {
  return static_cast<int32_t>(std::ranges::max_element(logits) - logits.begin());
}

}  // namespace quantfleet::engine
