// The graph of a decoder (docs/formats/onnx.md): of one that generates text, or of one whose hidden
// states become vectors. Pure.
#pragma once

#include "pipeline/format/onnx/onnx_layers.h"

namespace quantfleet::pipeline {

// RESOURCE_EXHAUSTED: the context needs larger tables of cosines and sines than are allowed.
absl::Status BuildDecoder(const OnnxParts& parts, onnx::GraphProto& graph, OnnxData& data);

}  // namespace quantfleet::pipeline
