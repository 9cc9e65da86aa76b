#include "pipeline/model/sampling.h"

#include <cmath>
#include <limits>

namespace quantfleet::pipeline {

absl::StatusOr<float> CheckSamplingNumber(const SamplingNumber& number, double value,
                                          std::string_view where, std::string_view field) {
  const auto rounded = static_cast<float>(value);
  const bool above = number.has_least ? rounded >= number.least : rounded > number.least;
  if (std::isfinite(value) && above && rounded <= number.most) return rounded;
  return InvalidArgument("{}: '{}' is {}; it must be {} {} and at most {}", where, field, value,
                         number.has_least ? "at least" : "above", number.least, number.most);
}

absl::StatusOr<int32_t> CheckTopK(int64_t value, std::string_view where, std::string_view field) {
  if (value == -1) return 0;
  if (value >= 0 && value <= std::numeric_limits<int32_t>::max())
    return static_cast<int32_t>(value);
  return InvalidArgument("{}: '{}' is {}; it must be a number of tokens, or 0 for all", where,
                         field, value);
}

void Normalize(SamplingDefaults& sampling) {
  if (sampling.temperature != 0) return;
  sampling.temperature.reset();
  sampling.samples = false;
}

}  // namespace quantfleet::pipeline
