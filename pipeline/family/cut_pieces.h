// From a source's tensors to logical pieces: the one place that knows which tensors may be fused.
// Each source format brings its spelling of names. Pure.
#pragma once

#include <string>

#include "pipeline/model/description.h"

namespace quantfleet::pipeline {

// How one format names the tensors of a model.
class TensorNames {
 public:
  virtual ~TensorNames() = default;
  virtual std::string Of(Role role, int layer) const = 0;
  virtual std::string FusedQkv(int layer) const = 0;     // rows of q, then k, then v
  virtual std::string FusedGateUp(int layer) const = 0;  // rows of gate, then up
};

// Fills model.pieces from model.hyper and model.tensors, then validates the whole description. q
// and k (weights and biases) stand in `qk_order`. Errors name the tensor that is missing,
// superfluous or of the wrong shape.
absl::Status CutPieces(const TensorNames& names, RowOrder qk_order, ModelDescription& model);

}  // namespace quantfleet::pipeline
