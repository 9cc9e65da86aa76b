// The graph of a decoder in OpenVINO's operations: of one that generates text, with the KV cache as
// state, or of one whose hidden states become vectors (docs/formats/openvino.md). Pure.
#pragma once

#include "pipeline/format/openvino/openvino_weights.h"

namespace quantfleet::pipeline {

// Adds it to `graph`; all have to outlive the call.
void BuildOpenVinoDecoder(const ModelDescription& model, IrGraph& graph, OpenVinoWeights& weights,
                          IrConstants& constants);

}  // namespace quantfleet::pipeline
