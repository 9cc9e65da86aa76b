// The graph of a decoder (docs/formats/onnx.md). Pure.
#pragma once

#include "pipeline/format/onnx/onnx_operators.h"

namespace quantfleet::pipeline {

// The name that a tensor has in the graph: Hugging Face's, but q, k and v are one.
std::string OnnxName(const Family& family, Role role, int layer);

// `tensors` are the model's, by OnnxName; activations and the KV cache are `float_type` (F32 or
// F16). `flavour` says whose operators multiply, normalize and attend; `exact` is the recipe's.
// RESOURCE_EXHAUSTED: the context needs larger tables of cosines and sines than are allowed.
absl::Status BuildDecoder(const ModelDescription& model, const std::vector<OnnxTensor>& tensors,
                          DType float_type, OnnxFlavour flavour, bool exact,
                          onnx::GraphProto& graph, OnnxData& data);

}  // namespace quantfleet::pipeline
