// A calibration's ranges.json: whatever it says, ranges are finite and in order, or it is refused.
#include <cmath>
#include <cstdint>
#include <cstdlib>

#include "pipeline/model/activation_ranges.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto ranges = quantfleet::pipeline::ParseActivationRanges(
      std::string_view(reinterpret_cast<const char*>(data), size));
  if (!ranges.ok()) return 0;
  for (const auto& [name, range] : ranges->of)
    if (!std::isfinite(range.low) || !std::isfinite(range.high) || range.low > range.high)
      std::abort();
  return 0;
}
