// A rollout's plan file: refused with a reason, or a plan that passes its own check.
#include <cstdlib>

#include "daemon/rollout/plan.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace quantfleet::daemon;
  const auto plan = ParsePlan({reinterpret_cast<const char*>(data), size});
  if (plan.ok() && !CheckPlan(*plan).ok()) std::abort();
  return 0;
}
