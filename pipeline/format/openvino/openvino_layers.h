// What graphs of decoders and of encoders have alike: looking up rows, products, biases and norms
// of the model's weights, by role, and what a mask says. Not thread-safe.
#pragma once

#include <string>

#include "pipeline/family/family.h"
#include "pipeline/format/openvino/ir_operations.h"
#include "pipeline/format/openvino/openvino_weights.h"

namespace quantfleet::pipeline {

class OpenVinoLayers : protected IrOperations {
 public:
  // What sentence-transformers and OpenVINO GenAI pool: the only result of an embedding model, as
  // GenAI's pipeline demands.
  static constexpr const char* kHiddenStates = "last_hidden_state";

  // All have to outlive this.
  OpenVinoLayers(const ModelDescription& model, IrGraph& graph, OpenVinoWeights& weights,
                 IrConstants& constants)
      : IrOperations(graph, constants),
        family_(*model.family),
        h_(model.hyper),
        weights_(weights) {}

 protected:
  // The rows of the role's table that `ids` have, [batch, now, hidden].
  IrValue Rows(std::string name, Role role, IrValue ids);
  IrValue Product(std::string name, Role role, int layer, IrValue x);
  // With its bias.
  IrValue Product(Role role, int layer, IrValue x);
  // Whether something is added to the role's product or norm.
  bool HasBias(Role role, int layer) const;
  IrValue AddBias(std::string name, Role role, int layer, IrValue x);
  // x / sqrt(mean(x^2) + epsilon) * weight, along the last axis; of a LayerNorm, x is first taken
  // from its mean.
  IrValue Normalize(Role role, int layer, IrValue x);
  // One of q, k, v as [batch, heads, now, head].
  IrValue Heads(const std::string& name, IrValue x, int64_t heads);

  // Of attention_mask, whether each key is one of the text: [batch, 1, 1, total].
  IrValue RealKeys(IrValue attention_mask);
  // 0 where a token may look, the lowest number of F16 elsewhere: [batch, 1, now, total].
  IrValue Mask(std::string name, IrValue allowed);
  // Of attention_mask, each token's place in its text, whichever side is padded: [batch, total].
  IrValue PlacesOf(IrValue attention_mask);

  const Family& family_;
  const Hyperparameters& h_;
  OpenVinoWeights& weights_;
};

}  // namespace quantfleet::pipeline
