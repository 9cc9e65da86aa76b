#include "pipeline/format/onnx/qnn_graph.h"

#include <algorithm>
#include <cmath>

#include "common/base/bytes.h"

namespace quantfleet::pipeline {
namespace {

// Ranges of nothing but zero have a scale too.
constexpr float kLeastRange = 1e-6f;

int TypeOf(const QnnScale& as) {
  return as.bits == 8 ? onnx::TensorProto::UINT8 : onnx::TensorProto::UINT16;
}

float Low(const QnnScale& as) { return std::min(as.range.low, 0.f); }
float High(const QnnScale& as) { return std::max(as.range.high, 0.f); }

}  // namespace

float QnnScale::scale() const {
  return std::max(High(*this) - Low(*this), kLeastRange) / static_cast<float>(levels());
}

int QnnScale::zero() const { return static_cast<int>(std::lround(-Low(*this) / scale())); }

std::string QnnGraph::Linear(const char* op, std::string name, const std::string& x,
                             const std::string& constants, const QnnScale& as) {
  const std::string scale = constants + "/scale", zero = constants + "/zero";
  if (!data_.Has(scale)) {
    plain.Number(scale, as.scale());
    plain.Scalar(zero, TypeOf(as), as.zero());
  }
  return plain.Node(op, std::move(name), {x, scale, zero});
}

QnnValue QnnGraph::Quantize(const std::string& name, const std::string& x, const QnnScale& as,
                            std::string codes, std::string value) {
  if (codes.empty()) codes = name + "/codes";
  if (value.empty()) value = name + "/value";
  Linear("QuantizeLinear", codes, x, name, as);
  return {Linear("DequantizeLinear", value, codes, name, as), as};
}

QnnValue QnnGraph::Decode(const std::string& name, const std::string& codes, const QnnScale& as) {
  return {Linear("DequantizeLinear", name + "/value", codes, name, as), as};
}

QnnValue QnnGraph::Op(const char* op, const std::string& name, std::vector<std::string> inputs,
                      std::vector<OnnxAttribute> attributes, const QnnScale& as) {
  return Quantize(name, plain.Node(op, name, std::move(inputs), std::move(attributes)), as);
}

QnnValue QnnGraph::Move(const char* op, const std::string& name, const QnnValue& x,
                        std::vector<std::string> more, std::vector<OnnxAttribute> attributes) {
  more.insert(more.begin(), x.name);
  return Op(op, name, std::move(more), std::move(attributes), x.as);
}

QnnValue QnnGraph::Convert(const QnnValue& x, const QnnScale& as) {
  const bool same =
      x.as.bits == as.bits && x.as.range.low == as.range.low && x.as.range.high == as.range.high;
  return same ? x : Quantize(fmt::format("{}/as_{}_bits", x.name, as.bits), x.name, as);
}

std::vector<QnnValue> QnnGraph::Split(const std::string& name, const QnnValue& x,
                                      const std::vector<int64_t>& sizes) {
  std::string key = "sizes";
  for (const int64_t size : sizes) key += fmt::format("/{}", size);
  std::vector<std::string> outputs;
  for (size_t i = 0; i < sizes.size(); ++i) outputs.push_back(fmt::format("{}/{}", name, i));
  plain.Node("Split", outputs[0], {x.name, Integers(key, sizes)}, {{"axis", kLastAxis}},
             {outputs.begin() + 1, outputs.end()});
  std::vector<QnnValue> parts;
  for (const std::string& output : outputs) parts.push_back(Quantize(output, output, x.as));
  return parts;
}

QnnValue QnnGraph::Constant(const std::string& name, std::vector<int64_t> dims,
                            const std::vector<float>& values, int bits) {
  const auto [low, high] = std::ranges::minmax(values);
  const QnnScale as{{low, high}, bits};
  const std::string codes = name + ".codes";
  if (data_.Has(codes)) return {name + "/value", as};
  const float inverse = 1 / as.scale();
  std::string bytes;
  for (const float value : values) {
    const long code = std::clamp(std::lround(value * inverse) + as.zero(), 0L, long{as.levels()});
    bytes.push_back(static_cast<char>(code & 255));
    if (bits == 16) bytes.push_back(static_cast<char>(code >> 8));
  }
  data_.AddBytes(codes, std::move(dims), TypeOf(as), std::move(bytes));
  return Decode(name, codes, as);
}

QnnValue QnnGraph::Lowest(const std::string& name, const QnnScale& as) {
  plain.Scalar(name + ".codes", TypeOf(as), 0);
  return Decode(name, name + ".codes", as);
}

std::string QnnGraph::Integers(std::string name, const std::vector<int64_t>& values) {
  return data_.Has(name) ? name : plain.Vector(std::move(name), values);
}

}  // namespace quantfleet::pipeline
