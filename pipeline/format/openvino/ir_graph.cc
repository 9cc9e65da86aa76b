#include "pipeline/format/openvino/ir_graph.h"

#include <fmt/core.h>

#include <algorithm>
#include <pugixml.hpp>

namespace quantfleet::pipeline {
namespace {

// As ports spell it.
const char* Precision(IrType type) {
  switch (type) {
    case IrType::kF32:
      return "FP32";
    case IrType::kF16:
      return "FP16";
    case IrType::kI64:
      return "I64";
    case IrType::kI32:
      return "I32";
    case IrType::kI8:
      return "I8";
    case IrType::kU8:
      return "U8";
    case IrType::kI4:
      return "I4";
    case IrType::kU4:
      return "U4";
    case IrType::kBoolean:
      return "BOOL";
    case IrType::kString:
      return "STRING";
  }
  return "";
}

pugi::xml_node AddPort(pugi::xml_node ports, size_t id, const IrOutput& value) {
  pugi::xml_node port = ports.append_child("port");
  port.append_attribute("id") = static_cast<unsigned long long>(id);
  port.append_attribute("precision") = Precision(value.type);
  for (const int64_t dim : value.shape)
    port.append_child("dim").text() = static_cast<long long>(dim);
  return port;
}

// "a/b" goes into the group a, which is made where there is none.
void AddAbout(pugi::xml_node into, std::string_view key, const std::string& value) {
  if (const size_t slash = key.find('/'); slash != std::string_view::npos) {
    const std::string group(key.substr(0, slash));
    const pugi::xml_node known = into.child(group.c_str());
    into = known ? known : into.append_child(group.c_str());
    key.remove_prefix(slash + 1);
  }
  into.append_child(std::string(key).c_str()).append_attribute("value") = value.c_str();
}

struct StringWriter : pugi::xml_writer {
  std::string text;
  void write(const void* data, size_t size) override {
    text.append(static_cast<const char*>(data), size);
  }
};

}  // namespace

std::string_view IrName(IrType type) {
  switch (type) {
    case IrType::kF32:
      return "f32";
    case IrType::kF16:
      return "f16";
    case IrType::kI64:
      return "i64";
    case IrType::kI32:
      return "i32";
    case IrType::kI8:
      return "i8";
    case IrType::kU8:
      return "u8";
    case IrType::kI4:
      return "i4";
    case IrType::kU4:
      return "u4";
    case IrType::kBoolean:
      return "boolean";
    case IrType::kString:
      return "string";
  }
  return "";
}

std::string IrText(const IrShape& shape) {
  std::string text;
  for (const int64_t dim : shape) {
    if (!text.empty()) text += ",";
    text += dim == kAnySize ? "?" : fmt::format("{}", dim);
  }
  return text;
}

IrShape BroadcastShape(const IrShape& a, const IrShape& b) {
  IrShape out(std::max(a.size(), b.size()), 1);
  for (const IrShape* shape : {&a, &b})
    for (size_t i = 0; i < shape->size(); ++i) {
      int64_t& dim = out[out.size() - shape->size() + i];
      // A number that is not 1 is the result, whatever the other turns out to be.
      if (dim == 1 || (dim == kAnySize && (*shape)[i] != 1)) dim = (*shape)[i];
    }
  return out;
}

IrValue IrGraph::Add(IrOp op, std::string name, const std::vector<IrValue>& inputs,
                     const Attributes& attributes, std::vector<IrOutput> outputs) {
  layers_.push_back({op, std::move(name), inputs, attributes, std::move(outputs)});
  return {static_cast<uint32_t>(layers_.size() - 1), 0};
}

IrValue IrGraph::Add(IrOp op, std::string name, const std::vector<IrValue>& inputs,
                     const Attributes& attributes, IrType type, IrShape shape) {
  return Add(op, std::move(name), inputs, attributes,
             std::vector{IrOutput{type, std::move(shape)}});
}

IrValue IrGraph::Elementwise(IrOp op, std::string name, IrValue a, IrValue b) {
  return Add(op, std::move(name), {a, b}, {{"auto_broadcast", "numpy"}}, Of(a).type,
             BroadcastShape(ShapeOf(a), ShapeOf(b)));
}

IrValue IrGraph::Constant(std::string name, IrType type, const IrShape& shape, uint64_t offset,
                          uint64_t size) {
  std::string dims;
  for (const int64_t dim : shape) dims += fmt::format("{}{}", dims.empty() ? "" : ", ", dim);
  return Add({"Const", "opset1"}, std::move(name), {},
             {{"element_type", std::string(IrName(type))},
              {"shape", std::move(dims)},
              {"offset", fmt::format("{}", offset)},
              {"size", fmt::format("{}", size)}},
             type, shape);
}

IrValue IrGraph::Parameter(const char* name, IrType type, const IrShape& shape) {
  const IrValue value =
      Add({"Parameter", "opset1"}, name, {},
          {{"shape", IrText(shape)}, {"element_type", std::string(IrName(type))}}, type, shape);
  layers_.back().tensor_name = name;
  return value;
}

void IrGraph::Result(const char* name, IrValue value) {
  layers_[value.layer].tensor_name = name;
  Add({"Result", "opset1"}, fmt::format("{}/result", name), {value}, {}, std::vector<IrOutput>{});
}

void IrGraph::MarkDecompression(IrValue value) { layers_[value.layer].decompression = true; }

std::string IrGraph::Xml(const char* name, const Attributes& about) const {
  pugi::xml_document document;
  pugi::xml_node declaration = document.append_child(pugi::node_declaration);
  declaration.append_attribute("version") = "1.0";
  pugi::xml_node net = document.append_child("net");
  net.append_attribute("name") = name;
  net.append_attribute("version") = "11";
  pugi::xml_node layers = net.append_child("layers"), edges = net.append_child("edges");
  for (size_t id = 0; id < layers_.size(); ++id) {
    const Layer& from = layers_[id];
    pugi::xml_node layer = layers.append_child("layer");
    layer.append_attribute("id") = static_cast<unsigned long long>(id);
    layer.append_attribute("name") = from.name.c_str();
    layer.append_attribute("type") = from.op.type;
    layer.append_attribute("version") = from.op.version;
    if (!from.attributes.empty()) {
      pugi::xml_node data = layer.append_child("data");
      for (const auto& [key, value] : from.attributes) data.append_attribute(key) = value.c_str();
    }
    if (from.decompression) {
      pugi::xml_node attribute = layer.append_child("rt_info").append_child("attribute");
      attribute.append_attribute("name") = "decompression";
      attribute.append_attribute("version") = "0";
    }
    // Ports count through inputs and outputs.
    if (!from.inputs.empty()) {
      pugi::xml_node ports = layer.append_child("input");
      for (size_t i = 0; i < from.inputs.size(); ++i) AddPort(ports, i, Of(from.inputs[i]));
    }
    if (!from.outputs.empty()) {
      pugi::xml_node ports = layer.append_child("output");
      for (size_t i = 0; i < from.outputs.size(); ++i) {
        pugi::xml_node port = AddPort(ports, from.inputs.size() + i, from.outputs[i]);
        if (i == 0 && !from.tensor_name.empty())
          port.append_attribute("names") = from.tensor_name.c_str();
      }
    }
    for (size_t i = 0; i < from.inputs.size(); ++i) {
      const IrValue input = from.inputs[i];
      pugi::xml_node edge = edges.append_child("edge");
      edge.append_attribute("from-layer") = input.layer;
      edge.append_attribute("from-port") =
          static_cast<unsigned long long>(layers_[input.layer].inputs.size() + input.output);
      edge.append_attribute("to-layer") = static_cast<unsigned long long>(id);
      edge.append_attribute("to-port") = static_cast<unsigned long long>(i);
    }
  }
  if (!about.empty()) {
    pugi::xml_node rt_info = net.append_child("rt_info");
    for (const auto& [key, value] : about) AddAbout(rt_info, key, value);
  }
  StringWriter writer;
  document.save(writer, "\t", pugi::format_indent, pugi::encoding_utf8);
  return std::move(writer.text);
}

}  // namespace quantfleet::pipeline
