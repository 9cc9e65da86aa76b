#include "pipeline/format/onnx/onnx_layers.h"

namespace quantfleet::pipeline {

std::string OnnxName(const Family& family, Role role, int layer) {
  const std::string attention = family.encoder
                                    ? fmt::format("encoder.layer.{}.attention.self.qkv", layer)
                                    : fmt::format("model.layers.{}.self_attn.qkv_proj", layer);
  switch (role) {
    case Role::kAttnQ:
    case Role::kAttnK:
    case Role::kAttnV:
      return attention + ".weight";
    case Role::kAttnQBias:
    case Role::kAttnKBias:
    case Role::kAttnVBias:
      return attention + ".bias";
    default:
      return TensorName(family, Dialect::kHf, role, layer);
  }
}

OnnxLayers::OnnxLayers(const OnnxParts& parts, onnx::GraphProto& graph, OnnxData& data)
    : family_(*parts.model.family),
      h_(parts.model.hyper),
      float_(parts.float_type),
      float_number_(OnnxType(float_, Part::kBlocks)),
      graph_(graph),
      data_(data) {
  const OnnxSite site{h_, float_, parts.exact, parts.web, graph_, data_};
  operators_ =
      parts.flavour == OnnxFlavour::kStandard ? StandardOperators(site) : MicrosoftOperators(site);
  for (const OnnxTensor& tensor : parts.tensors) tensors_.emplace(tensor.is.name, &tensor);
}

const OnnxTensor* OnnxLayers::Tensor(Role role, int layer) const {
  const auto it = tensors_.find(OnnxName(family_, role, layer));
  return it == tensors_.end() ? nullptr : it->second;
}

std::string OnnxLayers::Stored(const OnnxTensor& t) {
  if (!data_.Has(t.is.name))
    data_.AddPart(t.is.name, t, Part::kBlocks,
                  t.is.dims == 1 ? std::vector{t.is.cols} : std::vector{t.is.rows, t.is.cols});
  return t.is.name;
}

std::string OnnxLayers::ToFloat(const OnnxTensor& t, std::string name, std::string value) {
  if (t.dtype == float_) return value;
  return graph_.Node("Cast", std::move(name), {std::move(value)}, {{"to", int64_t{float_number_}}});
}

std::string OnnxLayers::Scaled(const std::string& name, const std::string& x, float scale) {
  if (scale == 1) return x;
  const std::string factor = fmt::format("{}/factor", name);
  data_.AddValues(factor, {1}, float_, {scale});
  return graph_.Node("Mul", name, {x, factor});
}

std::string OnnxLayers::Looked() {
  const OnnxTensor& t = *Tensor(Role::kTokenEmbedding, -1);
  if (!IsFloat(t.dtype)) return operators_->Lookup(t);
  std::string rows =
      graph_.Node("Gather", "embedding/rows", {Stored(t), "input_ids"}, {{"axis", int64_t{0}}});
  return ToFloat(t, "embedding", std::move(rows));
}

std::string OnnxLayers::Multiply(const OnnxTensor& t, const std::string& name,
                                 const std::string& x) {
  if (!IsFloat(t.dtype)) return operators_->Multiply(t, name, x);
  const std::string weight = ToFloat(t, name + "/weight", Stored(t));
  const std::string turned = graph_.Node("Transpose", name + "/transposed", {weight});
  return graph_.Node("MatMul", name, {x, turned});
}

const OnnxTensor* OnnxLayers::Bias(Role role, int layer) const {
  const std::optional<Role> bias = Info(role).bias;
  return bias ? Tensor(*bias, layer) : nullptr;
}

std::string OnnxLayers::Product(Role role, int layer, const std::string& x) {
  const OnnxTensor& t = *Tensor(role, layer);
  const std::string product = Multiply(t, t.is.name + "/product", x);
  const OnnxTensor* bias = Bias(role, layer);
  if (bias == nullptr) return product;
  return graph_.Node("Add", bias->is.name + "/added", {product, Stored(*bias)});
}

std::string OnnxLayers::Normalize(Role role, int layer, const std::string& x,
                                  const std::string& skip, std::string* sum) {
  const OnnxTensor& t = *Tensor(role, layer);
  if (family_.norm == Norm::kRms) return operators_->Normalize(t.is.name, x, skip, Stored(t), sum);
  // Both flavours have the standard's operator; ONNX Runtime itself joins it with the sum.
  const std::string all = skip.empty() ? x : graph_.Node("Add", t.is.name + "/sum", {x, skip});
  if (sum) *sum = all;
  std::vector<std::string> inputs{all, Stored(t)};
  if (const OnnxTensor* bias = Bias(role, layer)) inputs.push_back(Stored(*bias));
  return graph_.Node("LayerNormalization", t.is.name + "/normed", std::move(inputs),
                     {{"epsilon", h_.norm_epsilon}, {"axis", int64_t{-1}}});
}

std::string OnnxLayers::Integers(std::string name, const std::vector<int64_t>& values) {
  return data_.Has(name) ? name : graph_.Vector(std::move(name), values);
}

}  // namespace quantfleet::pipeline
