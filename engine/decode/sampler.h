// Picks the next token from logits. Deterministic everywhere: the same seed and logits give the
// same tokens on any machine and library. Not thread-safe.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "engine/decode/engine.h"
#include "pipeline/model/sampling.h"

namespace quantfleet::engine {

class Sampler {
 public:
  explicit Sampler(const SamplingOptions& options) : options_(options), state_(options.seed) {}

  // DATA_LOSS when the logits hold NaN: the weights are damaged.
  absl::StatusOr<int32_t> Pick(std::span<const float> logits);

 private:
  double Uniform();  // [0, 1), SplitMix64

  SamplingOptions options_;
  uint64_t state_;
  std::vector<std::pair<float, int32_t>> candidates_;
};

// What a model's publisher recommends, as far as this sampler has it; the rest as SamplingOptions
// begins.
SamplingOptions RecommendedSampling(const pipeline::SamplingDefaults& defaults);

// INVALID_ARGUMENT for a temperature, top_k or top_p without meaning.
absl::Status Validate(const SamplingOptions& options);

// Of the `count` highest logits, highest first, the lowest id of equals first.
std::vector<int32_t> Likeliest(std::span<const float> logits, int count);

// The most likely token, the lowest id of equals; -1 when a logit is NaN.
int32_t ArgMax(std::span<const float> logits);

}  // namespace quantfleet::engine
