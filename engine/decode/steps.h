// The steps of a pass that are neither products nor attention: norms, activations and scalars,
// on rows of F32. Pure.
#pragma once

#include <cstdint>
#include <span>

#include "engine/kernels/vector_ops.h"
#include "pipeline/family/family.h"

namespace quantfleet::engine {

// Of `rows` rows as long as `weight`; `out` may be x. An empty `bias` adds nothing.
struct NormOf {
  pipeline::Norm kind;
  std::span<const float> weight, bias;
  float epsilon;
};
void Normalize(const VectorOps& ops, const NormOf& norm, const float* x, float* out, int64_t rows);

// values[i] = activation(values[i]) * factors[i]; without factors the activation alone.
void Activate(pipeline::Activation activation, std::span<float> values, const float* factors);

// values[i] *= factor, where that is not 1.
void Scale(float factor, std::span<float> values);

// values[i] = cap * tanh(values[i] / cap).
void Cap(float cap, std::span<float> values);

// to[i] += factor * values[i].
void AddScaled(float factor, std::span<const float> values, float* to);

}  // namespace quantfleet::engine
