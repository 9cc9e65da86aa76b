#include "pipeline/model/rope.h"

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
