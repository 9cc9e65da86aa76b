// The graph of a decoder with fixed shapes and fixed scales of all activations, for compilers of
// accelerators (docs/formats/qnn.md). Pure.
#pragma once

#include <map>
#include <vector>

#include "pipeline/family/family.h"
#include "pipeline/format/onnx/onnx_data.h"
#include "pipeline/model/activation_ranges.h"

namespace quantfleet::pipeline {

// What a graph is made of; all that it names outlives whoever builds the graph.
struct QnnParts {
  const ModelDescription& model;
  const std::vector<OnnxTensor>& tensors;  // matrices, by QnnName
  // Norms and biases by role and layer, in Hugging Face's order, with what their files leave out.
  const std::map<std::pair<Role, int>, std::vector<float>>& vectors;
  const ActivationRanges& ranges;
  int bits;         // of what weights are multiplied with, and of the products; 16 of some
  int64_t context;  // tokens that the cache holds
};

// The name of a weight in the graph: Hugging Face's of the role alone.
std::string QnnName(const Family& family, Role role, int layer);

// `tokens` of a step. What it adds to `data` does not depend on them. INVALID_ARGUMENT: the ranges
// lack an activation of the model.
absl::Status BuildQnnDecoder(const QnnParts& parts, int64_t tokens, onnx::GraphProto& graph,
                             OnnxData& data);

}  // namespace quantfleet::pipeline
