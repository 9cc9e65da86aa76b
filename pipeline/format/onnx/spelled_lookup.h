// A quantized embedding's rows by the standard's operators: the builds of ONNX Runtime for browsers
// that know WebGPU have no GatherBlockQuantized for the CPU.
#pragma once

#include <string>

#include "pipeline/format/onnx/onnx_graph.h"

namespace quantfleet::pipeline {

// Names of initializers. Codes are bytes, [rows, cols * bits / 8]; scales are [rows, groups] in the
// graph's float type; zero_points are bytes, each row in whole ones, or "": codes are around the
// middle.
struct PackedEmbedding {
  std::string codes, scales, zero_points;
  int64_t bits, group, cols;
};

// "embedding": what the rows of input_ids come to, [batch, step, cols].
std::string SpelledLookup(const PackedEmbedding& of, DType float_type, OnnxGraph& graph);

}  // namespace quantfleet::pipeline
