// Which inputs a layer's products have, and which weights share one: q, k and v are multiplied with
// the same rows, gate and up with others. Names are those of the model's GGUF. Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "pipeline/family/family.h"

namespace quantfleet::engine {

struct LayerInput {
  std::vector<pipeline::Role> roles;  // of the weights that take it; of a tied head kOutputHead
  // Their tensors, each once; several roles may be parts of one. The first one names the input.
  std::vector<std::string> names;
  int64_t cols = 0;
  int64_t matrices = 1;  // more than 1: an input for each expert, of the rows that chose it
  // Whether second moments of it are of use: a router stays as it is.
  bool quantized = true;
  // The input of the same layer that has the very same rows; nullopt: it is the first with them.
  std::optional<size_t> same_as = std::nullopt;
};

// Whether it has second moments of its own.
inline bool HasMoments(const LayerInput& input) { return input.quantized && !input.same_as; }

// In the order in which a layer computes them; the head's, tied or not, is the last layer's.
std::vector<LayerInput> InputsOf(const pipeline::ModelDescription& model, int layer);

}  // namespace quantfleet::engine
