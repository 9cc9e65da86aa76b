#include "engine/decode/steps.h"

#include <algorithm>
#include <cmath>

namespace quantfleet::engine {
namespace {

using pipeline::Activation;
using pipeline::Norm;

void RmsNorm(const VectorOps& ops, const NormOf& norm, const float* x, float* out, int64_t n) {
  const float mean = ops.dot(x, x, n) / static_cast<float>(n);
  const float scale = 1.f / std::sqrt(mean + norm.epsilon);
  for (int64_t i = 0; i < n; ++i) out[i] = x[i] * scale * norm.weight[static_cast<size_t>(i)];
}

// Around the mean first: what is squared is then small against nothing.
void LayerNorm(const VectorOps& ops, const NormOf& norm, const float* x, float* out, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += x[i];
  const auto mean = static_cast<float>(sum / static_cast<double>(n));
  for (int64_t i = 0; i < n; ++i) out[i] = x[i] - mean;
  RmsNorm(ops, norm, out, out, n);
}

float GeluTanh(float x) {
  constexpr float kRootOfTwoOverPi = 0.797884560802865355f, kCubic = 0.044715f;
  return 0.5f * x * (1.f + std::tanh(kRootOfTwoOverPi * (x + kCubic * x * x * x)));
}

// Of gates and what they gate; a factor is there.
void ClampedSwiglu(std::span<float> values, const float* factors) {
  constexpr float kLimit = pipeline::kSwigluLimit, kSlope = pipeline::kSwigluSlope;
  for (size_t i = 0; i < values.size(); ++i) {
    const float gate = std::min(values[i], kLimit);
    const float up = factors == nullptr ? 0 : std::clamp(factors[i], -kLimit, kLimit);
    values[i] = gate / (1.f + std::exp(-kSlope * gate)) * (up + 1);
  }
}

float GeluErf(float x) {
  constexpr float kRootOfHalf = 0.707106781186547524f;
  return 0.5f * x * (1.f + std::erf(x * kRootOfHalf));
}

template <typename Function>
void Apply(std::span<float> values, const float* factors, Function function) {
  if (factors == nullptr) {
    for (float& value : values) value = function(value);
  } else {
    for (size_t i = 0; i < values.size(); ++i) values[i] = function(values[i]) * factors[i];
  }
}

}  // namespace

void Normalize(const VectorOps& ops, const NormOf& norm, const float* x, float* out, int64_t rows) {
  const auto n = static_cast<int64_t>(norm.weight.size());
  for (int64_t t = 0; t < rows; ++t, x += n, out += n) {
    if (norm.kind == Norm::kLayer) {
      LayerNorm(ops, norm, x, out, n);
    } else {
      RmsNorm(ops, norm, x, out, n);
    }
    for (size_t i = 0; i < norm.bias.size(); ++i) out[i] += norm.bias[i];
  }
}

void Activate(Activation activation, std::span<float> values, const float* factors) {
  switch (activation) {
    case Activation::kSilu:
      return Apply(values, factors, [](float x) { return x / (1.f + std::exp(-x)); });
    case Activation::kClampedSwiglu:
      return ClampedSwiglu(values, factors);
    case Activation::kGeluTanh:
      return Apply(values, factors, GeluTanh);
    case Activation::kGeluErf:
      return Apply(values, factors, GeluErf);
  }
}

void Scale(float factor, std::span<float> values) {
  if (factor == 1) return;
  for (float& value : values) value *= factor;
}

void Cap(float cap, std::span<float> values) {
  for (float& value : values) value = cap * std::tanh(value / cap);
}

void AddScaled(float factor, std::span<const float> values, float* to) {
  for (size_t i = 0; i < values.size(); ++i) to[i] += factor * values[i];
}

}  // namespace quantfleet::engine
