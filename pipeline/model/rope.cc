#include "pipeline/model/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace quantfleet::pipeline {

std::vector<float> Llama3FrequencyFactors(const Hyperparameters& hyper) {
  const RopeScaling& rope = hyper.rope_scaling;
  if (rope.kind != RopeScaling::Kind::kLlama3) return {};
  if (!rope.freq_factors.empty()) return rope.freq_factors;
  const auto original = static_cast<double>(hyper.original_context),
             dims = static_cast<double>(hyper.rope_dims);
  std::vector<float> factors;
  for (int64_t i = 0; i < hyper.rope_dims / 2; ++i) {
    const double frequency =
        std::pow(static_cast<double>(hyper.rope_theta), -2.0 * static_cast<double>(i) / dims);
    const double wavelength = 2 * std::numbers::pi / frequency;
    double factor = 1;
    if (wavelength > original / rope.low_freq_factor) {
      factor = rope.factor;
    } else if (wavelength >= original / rope.high_freq_factor) {
      const double t = (original / wavelength - rope.low_freq_factor) /
                       (rope.high_freq_factor - rope.low_freq_factor);
      factor = 1 / ((1 - t) / rope.factor + t);
    }
    factors.push_back(static_cast<float>(factor));
  }
  return factors;
}

std::vector<double> YarnFrequencyFactors(const Hyperparameters& hyper) {
  const RopeScaling& yarn = hyper.rope_scaling;
  if (yarn.kind != RopeScaling::Kind::kYarn) return {};
  const auto dims = static_cast<double>(hyper.rope_dims);
  const auto pair_of = [&](double turns) {
    return dims *
           std::log(static_cast<double>(hyper.original_context) / (turns * 2 * std::numbers::pi)) /
           (2 * std::log(static_cast<double>(hyper.rope_theta)));
  };
  const double low = std::max(pair_of(yarn.beta_fast), 0.0),
               high = std::min(pair_of(yarn.beta_slow), dims - 1);
  std::vector<double> factors;
  for (int64_t i = 0; i < hyper.rope_dims / 2; ++i) {
    const double ramp =
        std::clamp((static_cast<double>(i) - low) / std::max(high - low, 0.001), 0.0, 1.0);
    factors.push_back(yarn.factor <= 1 ? 1 : 1 / (ramp / yarn.factor + (1 - ramp)));
  }
  return factors;
}

float YarnMagnitude(const Hyperparameters& hyper) {
  if (hyper.rope_scaling.kind != RopeScaling::Kind::kYarn) return 1;
  return static_cast<float>(0.1 * std::log(hyper.rope_scaling.factor) + 1);
}

float LongRopeAttentionFactor(int64_t context, int64_t original) {
  const double f = static_cast<double>(context) / static_cast<double>(original);
  if (f <= 1) return 1;
  return static_cast<float>(std::sqrt(1 + std::log(f) / std::log(static_cast<double>(original))));
}

bool HasComputedAttentionFactor(const Hyperparameters& hyper) {
  const float computed = LongRopeAttentionFactor(hyper.context, hyper.original_context);
  return std::abs(hyper.rope_scaling.attention_factor.value_or(computed) - computed) <=
         1e-5f * computed;
}

Hyperparameters AsSlidingLayersTurn(const Hyperparameters& hyper) {
  Hyperparameters sliding = hyper;
  sliding.rope_theta = hyper.sliding_rope_theta;
  sliding.rope_scaling = {};
  sliding.original_context = hyper.context;
  return sliding;
}

}  // namespace quantfleet::pipeline
