// The graph of a decoder in ONNX Runtime's operators (docs/formats/onnx.md). Pure.
#pragma once

#include "onnx/onnx.pb.h"
#include "pipeline/format/onnx/onnx_data.h"

namespace quantfleet::pipeline {

struct OnnxTensor {
  OutputTensor is;
  DType dtype;  // F32, F16, or one with signed codes or zero points
};

// The name that a tensor has in the graph; q, k and v are one.
std::string OnnxName(Role role, int layer);

// `tensors` are the model's, by OnnxName; activations and the KV cache are `float_type` (F32 or F16).
// RESOURCE_EXHAUSTED: the context needs larger tables of cosines and sines than are allowed.
absl::Status BuildDecoder(const ModelDescription& model, const std::vector<OnnxTensor>& tensors,
                          DType float_type, onnx::GraphProto& graph, OnnxData& data);

}  // namespace quantfleet::pipeline
