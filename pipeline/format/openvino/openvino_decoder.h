// The graph of a decoder in OpenVINO's operations, with the KV cache as state
// (docs/formats/openvino.md). Pure.
#pragma once

#include <string>
#include <vector>

#include "pipeline/format/layout/data_file.h"

namespace quantfleet::pipeline {

struct OpenVinoTensor {
  OutputTensor is;
  DType dtype;  // F32, F16, Q8_0, Q4_0
};

// The name that a tensor has in the graph: Hugging Face's. Where experts' activation has limits,
// gate and up of an expert are one, its rows of gate before those of up.
std::string OpenVinoName(const Family& family, Role role, int layer);

// `tensors` are the model's by OpenVinoName. Weights, then small
// constants, go into `data`; returns the XML that points there.
std::string BuildOpenVinoDecoder(const ModelDescription& model,
                                 const std::vector<OpenVinoTensor>& tensors, DataFile& data);

}  // namespace quantfleet::pipeline
