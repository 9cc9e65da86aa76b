// How a model's publisher wants the next token drawn where nobody says: what generation_config.json
// recommends, and GGUF's general.sampling.*. Plain values.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "common/base/status.h"

namespace quantfleet::pipeline {

// nullopt: nothing is said of it.
struct SamplingDefaults {
  std::optional<bool> samples = {};  // false: always the likeliest token
  std::optional<float> temperature = {}, top_p = {}, min_p = {}, repetition_penalty = {};
  std::optional<int32_t> top_k = {};  // 0: of all tokens

  bool operator==(const SamplingDefaults&) const = default;
};

// One of the numbers: what files call it, and between what it lies.
struct SamplingNumber {
  std::string_view hf, gguf;
  std::optional<float> SamplingDefaults::* value;
  float least, most;
  bool has_least;  // `least` itself is in the range
};
inline constexpr SamplingNumber kSamplingNumbers[] = {
    {"top_p", "general.sampling.top_p", &SamplingDefaults::top_p, 0, 1, false},
    {"min_p", "general.sampling.min_p", &SamplingDefaults::min_p, 0, 1, true},
    {"temperature", "general.sampling.temp", &SamplingDefaults::temperature, 0, 100, true},
    {"repetition_penalty", "general.sampling.penalty_repeat", &SamplingDefaults::repetition_penalty,
     0, 100, false},
};
inline constexpr std::string_view kTopKHf = "top_k", kTopKGguf = "general.sampling.top_k";

// The number as a file at `where` says it; INVALID_ARGUMENT names `where` and `field` where it is
// out of range.
absl::StatusOr<float> CheckSamplingNumber(const SamplingNumber& number, double value,
                                          std::string_view where, std::string_view field);
// -1 is what some writers mean by 0.
absl::StatusOr<int32_t> CheckTopK(int64_t value, std::string_view where, std::string_view field);

// A temperature of 0 is another word for no sampling: afterwards there is one word.
void Normalize(SamplingDefaults& sampling);

}  // namespace quantfleet::pipeline
