// The shape of every piece as the hyper-parameters fix it, and the order in which pieces stand.
// Pure functions.
#pragma once

#include <string_view>
#include <vector>

#include "pipeline/model/description.h"

namespace quantfleet::pipeline {

struct Shape {
  int64_t rows, cols;  // 1-D: rows 1
  int dims;
  bool operator==(const Shape&) const = default;
};

Shape ShapeOf(const Hyperparameters& hyper, Role role);
// The hyper-parameters that fix it, for messages: "(num_attention_heads * head_dim) x hidden_size".
std::string_view ShapeFormula(Role role);

struct PieceName {
  Role role;
  int layer;
  bool operator==(const PieceName&) const = default;
};

// Every piece of a model in canonical order: embedding, layers ascending with roles in Role's
// order, norm, head.
std::vector<PieceName> CanonicalPieces(const Hyperparameters& hyper, bool qkv_biases);

// Ranges of every hyper-parameter; errors name the field as config.json spells it.
absl::Status ValidateHyperparameters(Architecture architecture, const Hyperparameters& hyper);
absl::Status ValidateTokenizer(const text::TokenizerData& tokenizer, int64_t vocab);

}  // namespace quantfleet::pipeline
