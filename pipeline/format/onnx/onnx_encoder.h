// The graph of an encoder (docs/formats/onnx.md#embedding-models). Pure.
#pragma once

#include "pipeline/format/onnx/onnx_layers.h"

namespace quantfleet::pipeline {

void BuildEncoder(const OnnxParts& parts, onnx::GraphProto& graph, OnnxData& data);

}  // namespace quantfleet::pipeline
