#include "tests/bench/loadgen/pace.h"

#include <thread>

namespace quantfleet::loadgen {

void RunPaced(uint64_t count, double per_second,
              const std::function<bool(uint64_t k, SteadyTime due)>& begin) {
  const SteadyTime start = std::chrono::steady_clock::now();
  for (uint64_t k = 0; k < count; ++k) {
    const SteadyTime due =
        start + std::chrono::duration_cast<SteadyTime::duration>(
                    std::chrono::duration<double>(static_cast<double>(k) / per_second));
    std::this_thread::sleep_until(due);
    if (!begin(k, due)) return;
  }
}

}  // namespace quantfleet::loadgen
