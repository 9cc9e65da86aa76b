// Short words for building an ONNX graph: nodes, attributes, small constants. Not thread-safe.
#pragma once

#include <initializer_list>
#include <string>
#include <variant>
#include <vector>

#include "common/base/status.h"
#include "onnx/onnx.pb.h"
#include "pipeline/tensor/dtype.h"

namespace quantfleet::pipeline {

inline constexpr const char* kMicrosoft = "com.microsoft";
inline constexpr int64_t kFirstAxis = 0, kLastAxis = -1;

// A model without nodes: of the standard's operators, and of Microsoft's where they are wanted.
onnx::ModelProto EmptyOnnxModel(const char* name, bool microsoft);

struct OnnxAttribute {
  const char* name;
  std::variant<int64_t, float, onnx::GraphProto, std::vector<int64_t>, std::string> value;
};

class OnnxGraph {
 public:
  explicit OnnxGraph(onnx::GraphProto& graph) : graph_(graph) {}

  // Adds a node of the standard's operators; `name` names it and its first output, which is
  // returned. An empty input or output is one left out.
  std::string Node(const char* op, std::string name, std::vector<std::string> inputs,
                   std::vector<OnnxAttribute> attributes = {},
                   std::vector<std::string> more_outputs = {});
  // The same of Microsoft's.
  std::string Contrib(const char* op, std::string name, std::vector<std::string> inputs,
                      std::vector<OnnxAttribute> attributes,
                      std::vector<std::string> more_outputs = {});
  // A constant inside the model: a scalar (int64, int32, uint8 or uint16), or of one dimension.
  std::string Scalar(std::string name, int type, int64_t value);
  std::string Vector(std::string name, const std::vector<int64_t>& values);  // int64
  // int32, row-major.
  std::string Numbers32(std::string name, std::vector<int64_t> dims,
                        const std::vector<int32_t>& values);
  // A scalar, F32 or F16 as `type` says.
  std::string Number(std::string name, float value, DType type = DType::kF32);

  // A dimension is a number, or a name for one that is found out at run time.
  using Dimension = std::variant<int64_t, const char*>;
  void Input(std::string name, int type, std::initializer_list<Dimension> dims);
  void Output(std::string name, int type, std::initializer_list<Dimension> dims);

 private:
  std::string Constant(std::string name, int type, const std::vector<int64_t>& dims,
                       std::string bytes);

  onnx::GraphProto& graph_;
};

}  // namespace quantfleet::pipeline
