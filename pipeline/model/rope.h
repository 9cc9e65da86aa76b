// Numbers that follow from a model's rope settings. Pure.
#pragma once

#include <vector>

#include "pipeline/model/description.h"

namespace quantfleet::pipeline {

// What each rotated pair's frequency is divided by under llama3's scaling (rope_dims/2 values): as
// the source stores them, or from factor, low_freq_factor, high_freq_factor and original_context.
// Empty for any other scaling.
std::vector<float> Llama3FrequencyFactors(const Hyperparameters& hyper);

// The same under YaRN, and its scale of cos and sin (1 under any other scaling). Nothing where the
// pair turns beta_fast times or more within the original context, the whole factor where it turns
// beta_slow times or less, and between them the frequencies' mean by a ramp over the pairs. The
// ramp's ends are not rounded to whole pairs, as gpt-oss was trained.
std::vector<double> YarnFrequencyFactors(const Hyperparameters& hyper);
float YarnMagnitude(const Hyperparameters& hyper);

// LongRoPE's scale of cos and sin: sqrt(1 + ln(f)/ln(original)), f = context/original; 1 where f <=
// 1. `original` has to be above 1.
float LongRopeAttentionFactor(int64_t context, int64_t original);
// Whether the model's attention factor is that one, or it names none.
bool HasComputedAttentionFactor(const Hyperparameters& hyper);

// The model as its sliding layers turn: with their theta, without scaling. Only where
// sliding_rope_theta is not 0.
Hyperparameters AsSlidingLayersTurn(const Hyperparameters& hyper);

}  // namespace quantfleet::pipeline
