// The shape of every piece as the hyper-parameters fix it, and the order in which pieces stand.
// Pure functions.
#pragma once

#include <string>
#include <vector>

#include "pipeline/family/family.h"

namespace quantfleet::pipeline {

struct Shape {
  int64_t rows, cols;  // 1-D: rows 1
  int dims;
  bool operator==(const Shape&) const = default;
};

Shape ShapeOf(const Hyperparameters& hyper, Role role);
// The hyper-parameters that fix it, for messages: "(num_attention_heads * head_dim) x hidden_size".
std::string ShapeFormula(Role role);

struct PieceName {
  Role role;
  int layer;
  int expert = -1;
  bool operator==(const PieceName&) const = default;
};

// Every piece of a model in canonical order, as the family lists its tensors. `optional`: with
// those that its models may do without.
std::vector<PieceName> CanonicalPieces(const Family& family, const Hyperparameters& hyper,
                                       bool optional);

}  // namespace quantfleet::pipeline
