#include "pipeline/format/onnx/onnx_graph.h"

#include <cstring>

#include "pipeline/tensor/half.h"

namespace quantfleet::pipeline {
namespace {

void SetAttribute(OnnxAttribute attribute, onnx::AttributeProto& out) {
  out.set_name(attribute.name);
  if (const int64_t* integer = std::get_if<int64_t>(&attribute.value)) {
    out.set_type(onnx::AttributeProto::INT);
    out.set_i(*integer);
  } else if (const float* number = std::get_if<float>(&attribute.value)) {
    out.set_type(onnx::AttributeProto::FLOAT);
    out.set_f(*number);
  } else if (const auto* integers = std::get_if<std::vector<int64_t>>(&attribute.value)) {
    out.set_type(onnx::AttributeProto::INTS);
    for (const int64_t value : *integers) out.add_ints(value);
  } else if (auto* text = std::get_if<std::string>(&attribute.value)) {
    out.set_type(onnx::AttributeProto::STRING);
    out.set_s(std::move(*text));
  } else {
    out.set_type(onnx::AttributeProto::GRAPH);
    *out.mutable_g() = std::move(std::get<onnx::GraphProto>(attribute.value));
  }
}

void SetValue(std::string name, int type, std::initializer_list<OnnxGraph::Dimension> dims,
              onnx::ValueInfoProto& out) {
  out.set_name(std::move(name));
  onnx::TypeProto::Tensor& tensor = *out.mutable_type()->mutable_tensor_type();
  tensor.set_elem_type(type);
  tensor.mutable_shape();
  for (const OnnxGraph::Dimension& dim : dims) {
    onnx::TensorShapeProto::Dimension& d = *tensor.mutable_shape()->add_dim();
    if (const int64_t* size = std::get_if<int64_t>(&dim)) {
      d.set_dim_value(*size);
    } else {
      d.set_dim_param(std::get<const char*>(dim));
    }
  }
}

template <typename T>
void Append(T value, std::string& out) {
  char bytes[sizeof value];
  std::memcpy(bytes, &value, sizeof value);
  out.append(bytes, sizeof bytes);
}

}  // namespace

onnx::ModelProto EmptyOnnxModel(const char* name, bool microsoft) {
  constexpr int64_t kIrVersion = 10, kOpset = 21;
  onnx::ModelProto model;
  model.set_ir_version(kIrVersion);
  model.set_producer_name("quantfleet");
  onnx::OperatorSetIdProto& standard = *model.add_opset_import();
  standard.set_domain("");
  standard.set_version(kOpset);
  if (microsoft) {
    onnx::OperatorSetIdProto& own = *model.add_opset_import();
    own.set_domain(kMicrosoft);
    own.set_version(1);
  }
  model.mutable_graph()->set_name(name);
  return model;
}

std::string OnnxGraph::Node(const char* op, std::string name, std::vector<std::string> inputs,
                            std::vector<OnnxAttribute> attributes,
                            std::vector<std::string> more_outputs) {
  onnx::NodeProto& node = *graph_.add_node();
  node.set_name(name);
  node.set_op_type(op);
  for (std::string& input : inputs) node.add_input(std::move(input));
  node.add_output(name);
  for (std::string& output : more_outputs) node.add_output(std::move(output));
  for (OnnxAttribute& attribute : attributes)
    SetAttribute(std::move(attribute), *node.add_attribute());
  return name;
}

std::string OnnxGraph::Contrib(const char* op, std::string name, std::vector<std::string> inputs,
                               std::vector<OnnxAttribute> attributes,
                               std::vector<std::string> more_outputs) {
  std::string made =
      Node(op, std::move(name), std::move(inputs), std::move(attributes), std::move(more_outputs));
  graph_.mutable_node(graph_.node_size() - 1)->set_domain(kMicrosoft);
  return made;
}

std::string OnnxGraph::Constant(std::string name, int type, const std::vector<int64_t>& dims,
                                std::string bytes) {
  onnx::TensorProto& tensor = *graph_.add_initializer();
  tensor.set_name(name);
  tensor.set_data_type(type);
  for (const int64_t dim : dims) tensor.add_dims(dim);
  tensor.set_raw_data(std::move(bytes));
  return name;
}

std::string OnnxGraph::Scalar(std::string name, int type, int64_t value) {
  std::string bytes;
  if (type == onnx::TensorProto::INT32) {
    Append(static_cast<int32_t>(value), bytes);
  } else if (type == onnx::TensorProto::UINT8) {
    Append(static_cast<uint8_t>(value), bytes);
  } else if (type == onnx::TensorProto::UINT16) {
    Append(static_cast<uint16_t>(value), bytes);
  } else {
    Append(value, bytes);
  }
  return Constant(std::move(name), type, {}, std::move(bytes));
}

std::string OnnxGraph::Number(std::string name, float value, DType type) {
  std::string bytes;
  if (type == DType::kF16) {
    Append(FloatToHalf(value), bytes);
    return Constant(std::move(name), onnx::TensorProto::FLOAT16, {}, std::move(bytes));
  }
  Append(value, bytes);
  return Constant(std::move(name), onnx::TensorProto::FLOAT, {}, std::move(bytes));
}

std::string OnnxGraph::Numbers32(std::string name, std::vector<int64_t> dims,
                                 const std::vector<int32_t>& values) {
  std::string bytes;
  for (const int32_t value : values) Append(value, bytes);
  return Constant(std::move(name), onnx::TensorProto::INT32, dims, std::move(bytes));
}

std::string OnnxGraph::Vector(std::string name, const std::vector<int64_t>& values) {
  std::string bytes;
  for (const int64_t value : values) Append(value, bytes);
  return Constant(std::move(name), onnx::TensorProto::INT64, {static_cast<int64_t>(values.size())},
                  std::move(bytes));
}

void OnnxGraph::Input(std::string name, int type, std::initializer_list<Dimension> dims) {
  SetValue(std::move(name), type, dims, *graph_.add_input());
}

void OnnxGraph::Output(std::string name, int type, std::initializer_list<Dimension> dims) {
  SetValue(std::move(name), type, dims, *graph_.add_output());
}

}  // namespace quantfleet::pipeline
