#include "tests/judges/openvino/graph.h"

#include <fstream>
#include <iterator>
#include <pugixml.hpp>
#include <set>
#include <sstream>

namespace openvino_ir {
namespace {

std::string ReadFile(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw std::runtime_error("cannot read " + path.string());
  return {std::istreambuf_iterator<char>(in), {}};
}

Shape ParseShape(const std::string& text) {
  Shape shape;
  std::istringstream in(text);
  for (std::string dim; std::getline(in, dim, ',');) shape.push_back(std::stoll(dim));
  return shape;
}

template <typename T>
T At(const char* bytes, int64_t i) {
  T value;
  std::memcpy(&value, bytes + static_cast<size_t>(i) * sizeof value, sizeof value);
  return value;
}

int64_t IntegerAt(const std::string& type, const char* bytes, int64_t i) {
  if (type == "i64") return At<int64_t>(bytes, i);
  if (type == "i32") return At<int32_t>(bytes, i);
  if (type == "i8") return At<int8_t>(bytes, i);
  if (type == "u8" || type == "boolean") return At<uint8_t>(bytes, i);
  if (type != "i4" && type != "u4")
    throw std::runtime_error("constants of " + type + " are not known");
  const int nibble = At<uint8_t>(bytes, i / 2) >> (i % 2 * 4) & 15;  // the lower half comes first
  return type == "i4" && nibble > 7 ? nibble - 16 : nibble;
}

}  // namespace

const std::string& Layer::Attribute(const std::string& key) const {
  const auto it = data.find(key);
  if (it == data.end()) throw std::runtime_error("layer '" + name + "' lacks " + key);
  return it->second;
}

Graph::Graph(const std::filesystem::path& folder) : bin_(ReadFile(folder / "openvino_model.bin")) {
  pugi::xml_document document;
  if (!document.load_file((folder / "openvino_model.xml").c_str()))
    throw std::runtime_error("not XML");
  const pugi::xml_node net = document.child("net");
  std::map<int, Layer> found;
  std::map<std::pair<int, int>, size_t> outputs;  // (id, port): number of the output
  std::map<std::pair<int, int>, std::pair<int, int>> sources;
  for (const pugi::xml_node edge : net.child("edges").children("edge"))
    sources[{edge.attribute("to-layer").as_int(), edge.attribute("to-port").as_int()}] = {
        edge.attribute("from-layer").as_int(), edge.attribute("from-port").as_int()};
  for (const pugi::xml_node node : net.child("layers").children("layer")) {
    const int id = node.attribute("id").as_int();
    Layer& layer = found[id];
    layer.name = node.attribute("name").value();
    layer.type = node.attribute("type").value();
    for (const pugi::xml_attribute a : node.child("data").attributes())
      layer.data[a.name()] = a.value();
    for (const pugi::xml_node port : node.child("output").children("port")) {
      if (layer.outputs == 0) layer.tensor_name = port.attribute("names").value();
      outputs[{id, port.attribute("id").as_int()}] = layer.outputs++;
    }
  }
  // Behind what they read, by their ids otherwise.
  std::map<int, size_t> place;
  while (place.size() < found.size()) {
    const size_t before = place.size();
    for (auto& [id, layer] : found) {
      if (place.contains(id)) continue;
      layer.inputs.clear();
      bool ready = true, fixed = true;
      for (int port = 0; sources.contains({id, port}) && ready; ++port) {
        const auto [from, from_port] = sources.at({id, port});
        ready = place.contains(from) && outputs.contains({from, from_port});
        if (!ready) break;
        layer.inputs.emplace_back(place.at(from), outputs.at({from, from_port}));
        fixed = fixed && layers_[place.at(from)].fixed;
      }
      if (!ready) continue;
      layer.fixed = fixed && layer.type != "Parameter" && layer.type != "ReadValue";
      place[id] = layers_.size();
      layers_.push_back(layer);
    }
    if (place.size() == before)
      throw std::runtime_error("the graph has a circle or an edge from nowhere");
  }
}

Tensor Graph::Constant(const Layer& layer) const {
  Tensor tensor{layer.Attribute("element_type"), ParseShape(layer.Attribute("shape")), {}, {}};
  const size_t offset = std::stoull(layer.Attribute("offset")),
               size = std::stoull(layer.Attribute("size"));
  if (offset > bin_.size() || size > bin_.size() - offset)
    throw std::runtime_error("constant '" + layer.name + "' lies outside of the .bin");
  const char* bytes = bin_.data() + offset;
  for (int64_t i = 0; i < Count(tensor.shape); ++i) {
    if (tensor.type == "f32") {
      tensor.floats.push_back(At<float>(bytes, i));
    } else if (tensor.type == "f16") {
      tensor.floats.push_back(FromHalf(At<uint16_t>(bytes, i)));
    } else {
      tensor.integers.push_back(IntegerAt(tensor.type, bytes, i));
    }
  }
  return tensor;
}

std::vector<Tensor> Graph::Evaluate(const Layer& layer, const std::vector<const Tensor*>& in,
                                    const std::map<std::string, Tensor>& parameters) {
  if (layer.type == "Const") return {Constant(layer)};
  if (layer.type == "Parameter") {
    const auto it = parameters.find(layer.tensor_name);
    if (it == parameters.end())
      throw std::runtime_error("nothing is given for " + layer.tensor_name);
    return {it->second};
  }
  if (layer.type == "ReadValue") {
    const auto it = state_.find(layer.Attribute("variable_id"));
    return {it == state_.end() ? *in.at(0) : *it->second};
  }
  return Apply(layer, in);
}

Value Graph::Run(const std::map<std::string, Tensor>& parameters, const std::string& result) {
  std::vector<std::vector<Value>> values(layers_.size());
  std::map<std::string, Value> next;
  Value wanted;
  for (size_t i = 0; i < layers_.size(); ++i) {
    const Layer& layer = layers_[i];
    std::vector<const Tensor*> in;
    for (const auto& [from, output] : layer.inputs) in.push_back(values[from].at(output).get());
    if (layer.type == "Result") continue;
    if (layer.type == "Assign") {
      // Reading of the same step still sees the old state.
      next[layer.Attribute("variable_id")] =
          values[layer.inputs.at(0).first].at(layer.inputs.at(0).second);
      continue;
    }
    if (const auto it = fixed_.find(i); it != fixed_.end()) {
      values[i] = it->second;
    } else {
      try {
        for (Tensor& tensor : Evaluate(layer, in, parameters))
          values[i].push_back(std::make_shared<const Tensor>(std::move(tensor)));
      } catch (const std::exception& error) {
        throw std::runtime_error("layer '" + layer.name + "' (" + layer.type +
                                 "): " + error.what());
      }
      if (layer.fixed) fixed_[i] = values[i];
    }
    if (layer.tensor_name == result) wanted = values[i].at(0);
  }
  for (auto& [name, value] : next) state_[name] = value;
  if (!wanted) throw std::runtime_error("the model has no output " + result);
  return wanted;
}

}  // namespace openvino_ir
