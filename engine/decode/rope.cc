#include "engine/decode/rope.h"

#include <cmath>

#include "pipeline/model/rope.h"

namespace quantfleet::engine {
namespace {

using pipeline::RopeScaling;

// Null: no factors.
const std::vector<float>* Factors(const pipeline::Hyperparameters& hyper, int64_t context) {
  const RopeScaling& scaling = hyper.rope_scaling;
  switch (scaling.kind) {
    case RopeScaling::Kind::kLongRope:
      return context > hyper.original_context ? &scaling.long_factors : &scaling.short_factors;
    case RopeScaling::Kind::kLlama3:
      return &scaling.freq_factors;
    case RopeScaling::Kind::kYarn:
    case RopeScaling::Kind::kNone:
    case RopeScaling::Kind::kLinear:
      break;
  }
  return nullptr;
}

}  // namespace

absl::StatusOr<Rope> Rope::Create(const pipeline::Hyperparameters& hyper, int64_t context,
                                  bool interleaved) {
  if (hyper.rope_dims < 2 || hyper.rope_dims % 2 != 0 || hyper.rope_dims > hyper.head_dim)
    return InvalidArgument("a rotary embedding of {} dimensions does not fit heads of {}",
                           hyper.rope_dims, hyper.head_dim);
  const int64_t pairs = hyper.rope_dims / 2;
  const std::vector<float>* factors = Factors(hyper, context);
  if (factors != nullptr && static_cast<int64_t>(factors->size()) != pairs)
    return InvalidArgument(
        "a rotary embedding of {} dimensions needs {} frequency factors, but the model has {}",
        hyper.rope_dims, pairs, factors->size());
  Rope rope;
  rope.interleaved_ = interleaved;
  if (hyper.rope_scaling.kind == RopeScaling::Kind::kLongRope)
    rope.magnitude_ = hyper.rope_scaling.attention_factor.value_or(1.f);
  const double linear =
      hyper.rope_scaling.kind == RopeScaling::Kind::kLinear ? hyper.rope_scaling.factor : 1.0;
  const std::vector<double> yarn = pipeline::YarnFrequencyFactors(hyper);
  if (!yarn.empty()) rope.magnitude_ = pipeline::YarnMagnitude(hyper);
  for (int64_t i = 0; i < pairs; ++i) {
    const double exponent = -2.0 * static_cast<double>(i) / static_cast<double>(hyper.rope_dims);
    const double factor = factors != nullptr ? (*factors)[i]
                          : !yarn.empty()    ? yarn[static_cast<size_t>(i)]
                                             : linear;
    rope.frequencies_.push_back(std::pow(static_cast<double>(hyper.rope_theta), exponent) / factor);
  }
  return rope;
}

void Rope::Angles(int64_t position, float* out) const {
  for (size_t i = 0; i < frequencies_.size(); ++i) {
    const double angle = static_cast<double>(position) * frequencies_[i];
    out[2 * i] = static_cast<float>(std::cos(angle) * magnitude_);
    out[2 * i + 1] = static_cast<float>(std::sin(angle) * magnitude_);
  }
}

void Rope::Turn(const float* angles, int64_t heads, int64_t head_dim, float* values) const {
  const int64_t pairs = static_cast<int64_t>(frequencies_.size());
  for (int64_t h = 0; h < heads; ++h) {
    float* head = values + h * head_dim;
    for (int64_t i = 0; i < pairs; ++i) {
      float& a = interleaved_ ? head[2 * i] : head[i];
      float& b = interleaved_ ? head[2 * i + 1] : head[i + pairs];
      const float cosine = angles[2 * i], sine = angles[2 * i + 1];
      const float x = a, y = b;
      a = x * cosine - y * sine;
      b = x * sine + y * cosine;
    }
  }
}

}  // namespace quantfleet::engine
