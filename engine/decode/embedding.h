// Arithmetic of embeddings: vectors of length 1. Pure.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "common/base/status.h"

namespace quantfleet::engine {

// The sum of hidden states, or one of them, scaled to length 1. DATA_LOSS: it has none.
absl::StatusOr<std::vector<float>> OfLengthOne(std::span<const double> sum);

// The first `dimensions` elements, scaled to length 1 again, as Matryoshka's models mean it.
// `dimensions` is at most the vector's size.
void CutTo(int64_t dimensions, std::vector<float>& vector);

// Of two vectors of length 1; 0 where their sizes differ.
double Cosine(std::span<const float> a, std::span<const float> b);

}  // namespace quantfleet::engine
