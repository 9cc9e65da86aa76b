// Experts without an operator of their own: a loop over those that some token of the step chose,
// each of which is decoded alone and gets the tokens that chose it.
#include <algorithm>

#include "pipeline/format/onnx/onnx_experts.h"

namespace quantfleet::pipeline {

std::string OnnxExperts::Loop(const std::string& name, const OnnxMixture& m, const std::string& x,
                              const std::string& scores) {
  const Chosen chosen = Choose(name, scores);
  const std::string tokens = Tokens(name, x);
  const std::string active = graph_.Node("Unique", name + "/active", {chosen.experts});
  const std::string count = graph_.Node("Size", name + "/count", {active});
  // In F32, in which alone ONNX Runtime's CPU adds to rows.
  const std::string zeros = graph_.Node("ConstantOfShape", name + "/zeros",
                                        {graph_.Node("Shape", name + "/tokens_shape", {tokens})});
  const std::string sum =
      graph_.Node("Loop", name + "/experts", {count, "", zeros},
                  {{"body", LoopBody(name + "/expert", m, tokens, chosen, active)}});
  return AsBatch(name, x, Cast(graph_, name + "/sum", sum, DType::kF32, float_));
}

onnx::GraphProto OnnxExperts::LoopBody(const std::string& name, const OnnxMixture& m,
                                       const std::string& tokens, const Chosen& chosen,
                                       const std::string& active) {
  onnx::GraphProto graph;
  graph.set_name(name);
  OnnxGraph body(graph);
  const std::string turn = name + "/turn", go_on = name + "/go_on", before = name + "/before";
  body.Input(turn, onnx::TensorProto::INT64, {});
  body.Input(go_on, onnx::TensorProto::BOOL, {});
  body.Input(before, onnx::TensorProto::FLOAT, {"tokens", h_.hidden});

  const std::string expert =
      body.Node("Gather", name + "/number", {active, turn}, {{"axis", int64_t{0}}});
  // Which tokens chose it, and as which of their choices: [2, n].
  const std::string places = body.Node(
      "NonZero", name + "/places", {body.Node("Equal", name + "/is", {chosen.experts, expert})});
  const std::string rows = body.Node("Gather", name + "/rows", {places, Integer("experts/zero", 0)},
                                     {{"axis", int64_t{0}}});
  const std::string shares =
      body.Node("GatherND", name + "/shares",
                {chosen.shares, body.Node("Transpose", name + "/pairs", {places})});
  const std::string x =
      body.Node("Gather", name + "/tokens", {tokens, rows}, {{"axis", int64_t{0}}});
  std::string gate = Product(body, m.gate, m.gate_bias, expert, x);
  const std::string gated =
      Gated(body, name, std::move(gate), Product(body, m.up, m.up_bias, expert, x));
  const std::string down = Product(body, m.down, m.down_bias, expert, gated);
  const std::string column = Integers("experts/column", {1});
  const std::string weighed =
      body.Node("Mul", name + "/weighed",
                {down, body.Node("Unsqueeze", name + "/shares_column", {shares, column})});
  const std::string at = body.Node("Unsqueeze", name + "/rows_column", {rows, column});
  const std::string wide = Cast(body, name + "/wide", weighed, float_, DType::kF32);
  const std::string added = body.Node("ScatterND", name + "/added", {before, at, wide},
                                      {{"reduction", std::string("add")}});
  body.Output(body.Node("Identity", name + "/goes_on", {go_on}), onnx::TensorProto::BOOL, {});
  body.Output(added, onnx::TensorProto::FLOAT, {"tokens", h_.hidden});
  return graph;
}

std::string OnnxExperts::Product(OnnxGraph& body, const OnnxTensor& w, const OnnxTensor* bias,
                                 const std::string& expert, const std::string& x) {
  const std::string turned =
      body.Node("Transpose", w.is.name + "/transposed", {Decoded(body, w, expert)});
  const std::string product = body.Node("MatMul", w.is.name + "/product", {x, turned});
  if (bias == nullptr) return product;
  const std::string all =
      Store(*bias, {"", Part::kBlocks, 1}, {h_.experts, bias->is.cols / h_.experts});
  const std::string own =
      body.Node("Gather", bias->is.name + "/own", {all, expert}, {{"axis", int64_t{0}}});
  return body.Node("Add", bias->is.name + "/added", {product, own});
}

// The expert's matrix in the graph's float type: [rows, cols].
std::string OnnxExperts::Decoded(OnnxGraph& body, const OnnxTensor& w, const std::string& expert) {
  const std::string& name = w.is.name;
  std::vector<std::string> stored;
  for (const StoredPart& part : PartsOf(w)) stored.push_back(StoreStack(w, part));
  const bool codes = !IsFloat(w.dtype);
  const int64_t group = Info(w.dtype).block_elements;
  if (codes && microsoft_) {
    stored.insert(stored.begin() + 1, expert);
    return body.Contrib("GatherBlockQuantized", name + "/decoded", std::move(stored),
                        {{"gather_axis", int64_t{0}},
                         {"quantize_axis", int64_t{2}},
                         {"block_size", group},
                         {"bits", int64_t{CodeBits(w.dtype)}}});
  }
  for (std::string& part : stored)
    part = body.Node("Gather", part + "/own", {part, expert}, {{"axis", int64_t{0}}});
  if (!codes) return Cast(body, name + "/decoded", stored[0], w.dtype, float_);
  return body.Node("DequantizeLinear", name + "/decoded", std::move(stored),
                   {{"axis", int64_t{1}}, {"block_size", group}});
}

std::string OnnxExperts::Gated(OnnxGraph& body, const std::string& name, std::string gate,
                               std::string up) {
  std::string slope = gate;
  if (family_.activation == Activation::kClampedSwiglu) {
    const std::string limit = Float("experts/limit", kSwigluLimit);
    gate = body.Node("Min", name + "/gate", {gate, limit});
    slope = body.Node("Mul", name + "/slope", {gate, Float("experts/slope", kSwigluSlope)});
    up = body.Node("Max", name + "/up_above",
                   {body.Node("Min", name + "/up_below", {up, limit}),
                    Float("experts/lower_limit", -kSwigluLimit)});
    up = body.Node("Add", name + "/up", {up, Float("experts/one", 1)});
  }
  const std::string active =
      body.Node("Mul", name + "/active", {gate, body.Node("Sigmoid", name + "/sigmoid", {slope})});
  return body.Node("Mul", name + "/gated", {active, up});
}

std::string OnnxExperts::Integers(std::string name, const std::vector<int64_t>& values) {
  return data_.Has(name) ? name : graph_.Vector(std::move(name), values);
}

std::string OnnxExperts::Integer(std::string name, int64_t value) {
  return data_.Has(name) ? name : graph_.Scalar(std::move(name), onnx::TensorProto::INT64, value);
}

std::string OnnxExperts::Number(std::string name, float value) {
  return data_.Has(name) ? name : graph_.Number(std::move(name), value);
}

std::string OnnxExperts::Float(std::string name, float value) {
  if (!data_.Has(name)) data_.AddValues(name, {1}, float_, {value});
  return name;
}

}  // namespace quantfleet::pipeline
