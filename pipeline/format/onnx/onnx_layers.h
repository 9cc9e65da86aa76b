// What graphs of decoders and of encoders have alike: looking up rows, products, biases and norms
// of the model's weights, by role. Not thread-safe.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "pipeline/family/family.h"
#include "pipeline/format/onnx/onnx_operators.h"

namespace quantfleet::pipeline {

// The name that a tensor has in the graph: Hugging Face's, but q, k and v are one.
std::string OnnxName(const Family& family, Role role, int layer);

// What a graph is made of; all that it names outlives whoever builds the graph.
struct OnnxParts {
  const ModelDescription& model;
  const std::vector<OnnxTensor>& tensors;  // the model's, by OnnxName
  DType float_type;                        // of activations and the KV cache: F32 or F16
  OnnxFlavour flavour;                     // whose operators multiply, normalize and attend
  bool exact, web;                         // the recipe's
};

class OnnxLayers {
 public:
  OnnxLayers(const OnnxParts& parts, onnx::GraphProto& graph, OnnxData& data);

 protected:
  const OnnxTensor* Tensor(Role role, int layer) const;
  // A float weight as it is stored.
  std::string Stored(const OnnxTensor& t);
  // `value`, which has the tensor's type, in that of activations.
  std::string ToFloat(const OnnxTensor& t, std::string name, std::string value);
  // x times the number, where that is not 1.
  std::string Scaled(const std::string& name, const std::string& x, float scale);
  // What the embedding has of input_ids.
  std::string Looked();
  std::string Multiply(const OnnxTensor& t, const std::string& name, const std::string& x);
  // What is added to the role's product or norm; null where the family has nothing there.
  const OnnxTensor* Bias(Role role, int layer) const;
  // x times the role's weight, with its bias.
  std::string Product(Role role, int layer, const std::string& x);
  // The norm of x + skip; `sum` gets their sum where it is wanted. Without skip the norm of x.
  std::string Normalize(Role role, int layer, const std::string& x, const std::string& skip,
                        std::string* sum);
  // A constant, once.
  std::string Integers(std::string name, const std::vector<int64_t>& values);

  const Family& family_;
  const Hyperparameters& h_;
  const DType float_;
  const int float_number_;
  OnnxGraph graph_;
  OnnxData& data_;
  std::unordered_map<std::string_view, const OnnxTensor*> tensors_;
  std::unique_ptr<OnnxOperators> operators_;
};

}  // namespace quantfleet::pipeline
