// The graph of an encoder in OpenVINO's operations (docs/formats/openvino.md#embedding-models).
// Pure.
#pragma once

#include "pipeline/format/openvino/openvino_weights.h"

namespace quantfleet::pipeline {

// Adds it to `graph`; all have to outlive the call.
void BuildOpenVinoEncoder(const ModelDescription& model, IrGraph& graph, OpenVinoWeights& weights,
                          IrConstants& constants);

}  // namespace quantfleet::pipeline
