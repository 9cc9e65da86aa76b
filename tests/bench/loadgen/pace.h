// An open loop: calls begin when they are due, whatever came of those before.
#pragma once

#include <cstdint>
#include <functional>

#include "tests/bench/loadgen/outcomes.h"

namespace quantfleet::loadgen {

// begin(k, due) for k = 0 .. count-1, at `per_second`, on this thread. It does not skip: one that
// is late begins at once. False from `begin` ends it.
void RunPaced(uint64_t count, double per_second,
              const std::function<bool(uint64_t k, SteadyTime due)>& begin);

}  // namespace quantfleet::loadgen
