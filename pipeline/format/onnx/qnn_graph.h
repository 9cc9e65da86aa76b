// Short words for an ONNX graph in which every activation has a fixed scale: each operator stands
// between DequantizeLinear and QuantizeLinear, as compilers for accelerators want it
// (docs/formats/qnn.md). Not thread-safe.
#pragma once

#include <string>
#include <vector>

#include "pipeline/format/onnx/onnx_data.h"
#include "pipeline/format/onnx/onnx_graph.h"
#include "pipeline/model/activation_ranges.h"

namespace quantfleet::pipeline {

// How an activation is quantized: x = scale * (code - zero), of unsigned codes.
struct QnnScale {
  ValueRange range;  // that the codes cover; 0 is always in it and has a code of its own
  int bits;          // 8 or 16

  int levels() const { return (1 << bits) - 1; }
  float scale() const;
  int zero() const;
};

// What operators read: the float behind a DequantizeLinear.
struct QnnValue {
  std::string name;
  QnnScale as;
};

class QnnGraph {
 public:
  QnnGraph(onnx::GraphProto& graph, OnnxData& data) : plain(graph), data_(data) {}

  // Nodes without quantization: whole numbers, truth, and what stands around the quantized part.
  OnnxGraph plain;

  // The float `x` quantized and decoded again; `codes` and `value` name the two where something
  // else than `name` with an ending is wanted.
  QnnValue Quantize(const std::string& name, const std::string& x, const QnnScale& as,
                    std::string codes = "", std::string value = "");
  // Codes that come from outside.
  QnnValue Decode(const std::string& name, const std::string& codes, const QnnScale& as);
  // An operator and its result.
  QnnValue Op(const char* op, const std::string& name, std::vector<std::string> inputs,
              std::vector<OnnxAttribute> attributes, const QnnScale& as);
  // An operator that only moves values about: they stay quantized as they are.
  QnnValue Move(const char* op, const std::string& name, const QnnValue& x,
                std::vector<std::string> more, std::vector<OnnxAttribute> attributes = {});
  // The same values with another scale.
  QnnValue Convert(const QnnValue& x, const QnnScale& as);
  // Parts along the last axis, of the scale of x; all are called `name` and their place.
  std::vector<QnnValue> Split(const std::string& name, const QnnValue& x,
                              const std::vector<int64_t>& sizes);
  // Known values, each constant once.
  QnnValue Constant(const std::string& name, std::vector<int64_t> dims,
                    const std::vector<float>& values, int bits);
  // One code that stands for a value.
  QnnValue Lowest(const std::string& name, const QnnScale& as);
  // Constants of whole numbers, each once.
  std::string Integers(std::string name, const std::vector<int64_t>& values);

 private:
  // DequantizeLinear or QuantizeLinear with the scale and zero point called after `constants`.
  std::string Linear(const char* op, std::string name, const std::string& x,
                     const std::string& constants, const QnnScale& as);

  OnnxData& data_;
};

}  // namespace quantfleet::pipeline
