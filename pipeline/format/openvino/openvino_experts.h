// Mixtures of experts in OpenVINO's operations. All of a layer's experts are one product in the
// graph, of which the shares of those that a token did not choose are 0; in exactly this form
// OpenVINO's CPU plugin recognizes it, and computes the chosen ones alone
// (docs/formats/openvino.md). Not thread-safe.
#pragma once

#include <string>

#include "pipeline/family/family.h"
#include "pipeline/format/openvino/ir_operations.h"
#include "pipeline/format/openvino/openvino_weights.h"

namespace quantfleet::pipeline {

class OpenVinoExperts : IrOperations {
 public:
  // All have to outlive this.
  OpenVinoExperts(const ModelDescription& model, IrGraph& graph, OpenVinoWeights& weights,
                  IrConstants& constants)
      : IrOperations(graph, constants),
        family_(*model.family),
        h_(model.hyper),
        weights_(weights) {}

  // What the layer's experts make of x, [batch, now, hidden], of which the router made `scores`,
  // [batch, now, experts]. `name` begins the names of layers.
  IrValue Run(int layer, const std::string& name, IrValue x, IrValue scores);

 private:
  // The experts of each token, and what each of them counts: [tokens, used].
  struct Chosen {
    IrValue experts, shares;
  };
  Chosen Choose(const std::string& name, IrValue scores);
  IrValue SparseMixerShare(const std::string& name, IrValue scores, IrValue best,
                           const IrValue* before);
  IrValue Shares(const std::string& name, IrValue scores);
  IrValue Mixed(int layer, const std::string& name, IrValue tokens);
  IrValue GatedWithLimits(int layer, const std::string& name, IrValue x);
  IrValue Product(Role role, int layer, IrValue x);
  IrValue AddBias(Role role, int layer, IrValue product);

  const Family& family_;
  const Hyperparameters& h_;
  OpenVinoWeights& weights_;
};

}  // namespace quantfleet::pipeline
