// How experts are computed; onnx_routing.cc says which ones.
#include "pipeline/format/onnx/onnx_experts.h"

#include <algorithm>

namespace quantfleet::pipeline {

OnnxExperts::OnnxExperts(const Family& family, const OnnxSite& site, OnnxFlavour flavour)
    : family_(family),
      h_(site.hyper),
      float_(site.float_type),
      exact_(site.exact),
      microsoft_(flavour == OnnxFlavour::kMicrosoft),
      graph_(site.graph),
      data_(site.data) {}

std::string OnnxExperts::Run(const std::string& name, const OnnxMixture& mixture,
                             const std::string& x, const std::string& scores) {
  const std::string rows = graph_.Node("Reshape", name + "/scores",
                                       {scores, Integers("experts/rows", {-1, h_.experts})});
  return HasKernel(mixture) ? Fused(name, mixture, x, rows) : Loop(name, mixture, x, rows);
}

// MoE has floats. QMoE has one kind of codes for all three weights, and rounds activations beside
// codes of eight bits whatever it is told.
bool OnnxExperts::HasKernel(const OnnxMixture& m) const {
  if (!microsoft_) return false;
  const DType type = m.gate.dtype;
  if (IsFloat(type)) return IsFloat(m.up.dtype) && IsFloat(m.down.dtype);
  return m.up.dtype == type && m.down.dtype == type && !(exact_ && CodeBits(type) == 8);
}

std::vector<OnnxExperts::StoredPart> OnnxExperts::PartsOf(const OnnxTensor& w) const {
  const int64_t cols = w.is.cols;
  if (IsFloat(w.dtype)) return {{"", Part::kBlocks, cols}};
  const bool points = HasPart(w.dtype, Part::kZeroPoints);
  const int64_t groups = cols / Info(w.dtype).block_elements;
  std::vector<StoredPart> parts{
      {".codes", microsoft_ || points ? Part::kCodes : Part::kSignedCodes,
       cols * CodeBits(w.dtype) / 8},
      {".scales", float_ == DType::kF16 ? Part::kScales : Part::kScales32, groups}};
  if (points)
    parts.push_back(
        {".zero_points", Part::kZeroPoints, PartRowBytes(Part::kZeroPoints, w.dtype, cols)});
  return parts;
}

std::string OnnxExperts::Store(const OnnxTensor& w, const StoredPart& part,
                               std::vector<int64_t> dims) {
  std::string name = w.is.name + part.suffix;
  if (!data_.Has(name)) data_.AddPart(name, w, part.part, std::move(dims));
  return name;
}

// [experts, rows, cols]
std::string OnnxExperts::StoreStack(const OnnxTensor& w, const StoredPart& part) {
  return Store(w, part, {h_.experts, w.is.rows / h_.experts, part.cols});
}

std::string OnnxExperts::Cast(OnnxGraph& graph, const std::string& name, const std::string& x,
                              DType from, DType to) {
  if (from == to) return x;
  return graph.Node("Cast", name, {x}, {{"to", int64_t{OnnxType(to, Part::kBlocks)}}});
}

// Rows of all parts in turn, as the operators want gate and up. A runtime does that once, when it
// loads the model: everything is constant.
std::string OnnxExperts::Woven(const std::string& name, const std::vector<std::string>& parts,
                               std::vector<int64_t> dims) {
  const std::string apart = graph_.Node("Concat", name + "/apart", parts, {{"axis", int64_t{2}}});
  std::string shape = "experts/woven";
  for (const int64_t dim : dims) shape += fmt::format("/{}", dim);
  return graph_.Node("Reshape", name, {apart, Integers(std::move(shape), dims)});
}

// Of fc1, which is gate and up, and of fc2: weights, scales, biases, and zero points behind all.
std::vector<std::string> OnnxExperts::FusedInputs(const std::string& name, const OnnxMixture& m) {
  const int64_t experts = h_.experts, width = h_.expert_width;
  std::vector<std::string> gate_up, down;
  for (const StoredPart& part : PartsOf(m.gate)) {
    std::vector<std::string> both;
    for (const OnnxTensor* w : {&m.gate, &m.up}) {
      const std::string stored = Store(*w, part, {experts, width, 1, part.cols});
      both.push_back(part.part == Part::kBlocks
                         ? Cast(graph_, w->is.name + "/weight", stored, w->dtype, float_)
                         : stored);
    }
    gate_up.push_back(Woven(fmt::format("{}/gate_up{}", name, part.suffix), both,
                            {experts, 2 * width, part.cols}));
  }
  for (const StoredPart& part : PartsOf(m.down)) {
    const std::string stored = StoreStack(m.down, part);
    down.push_back(part.part == Part::kBlocks
                       ? Cast(graph_, m.down.is.name + "/weight", stored, m.down.dtype, float_)
                       : stored);
  }
  std::string gate_up_bias, down_bias;
  if (m.gate_bias != nullptr) {
    const StoredPart whole{"", Part::kBlocks, 1};
    gate_up_bias = Woven(name + "/gate_up_bias",
                         {Store(*m.gate_bias, whole, {experts, width, 1}),
                          Store(*m.up_bias, whole, {experts, width, 1})},
                         {experts, 2 * width});
    down_bias = Store(*m.down_bias, whole, {experts, h_.hidden});
  }
  if (gate_up.size() == 1) return {gate_up[0], gate_up_bias, down[0], down_bias};
  std::vector<std::string> inputs{gate_up[0], gate_up[1], gate_up_bias,
                                  down[0],    down[1],    down_bias};
  if (gate_up.size() == 3)
    std::ranges::copy(std::initializer_list<std::string>{"", "", "", gate_up[2], down[2]},
                      std::back_inserter(inputs));
  return inputs;
}

// The kernels weigh experts by softmax over the scores of the chosen ones alone, so that what they
// count sums to 1.
std::string OnnxExperts::Fused(const std::string& name, const OnnxMixture& m, const std::string& x,
                               const std::string& scores) {
  if (family_.experts->routing == Routing::kSoftmaxOfChosen) return Kernel(name, m, x, scores);
  const Chosen chosen = Choose(name, scores);
  const std::string tokens = Tokens(name, x);
  const std::string mixed = Kernel(name, m, tokens, AsScores(name, scores, chosen));
  const std::string sum =
      graph_.Node("ReduceSum", name + "/weight", {chosen.shares, Integers("experts/last", {-1})});
  return AsBatch(name, x, graph_.Node("Mul", name + "/weighed", {mixed, sum}));
}

std::string OnnxExperts::Kernel(const std::string& name, const OnnxMixture& m, const std::string& x,
                                const std::string& scores) {
  const bool clamped = family_.activation == Activation::kClampedSwiglu;
  std::vector<std::string> inputs{x, scores};
  std::ranges::move(FusedInputs(name, m), std::back_inserter(inputs));
  while (inputs.back().empty()) inputs.pop_back();
  std::vector<OnnxAttribute> attributes{{"k", h_.experts_used},
                                        {"normalize_routing_weights", int64_t{1}},
                                        {"activation_type", std::string("swiglu")},
                                        {"activation_alpha", clamped ? kSwigluSlope : 1.f},
                                        {"activation_beta", clamped ? 1.f : 0.f},
                                        {"swiglu_fusion", int64_t{1}}};
  if (clamped) attributes.push_back({"swiglu_limit", kSwigluLimit});
  if (IsFloat(m.gate.dtype))
    return graph_.Contrib("MoE", name + "/experts", std::move(inputs), std::move(attributes));
  attributes.push_back({"expert_weight_bits", int64_t{CodeBits(m.gate.dtype)}});
  attributes.push_back({"block_size", Info(m.gate.dtype).block_elements});
  // 0 goes without saying, as before ONNX Runtime 1.31 it has to.
  if (const int64_t level = AccuracyLevel(exact_); level != 0 && CodeBits(m.gate.dtype) == 4)
    attributes.push_back({"accuracy_level", level});
  return graph_.Contrib("QMoE", name + "/experts", std::move(inputs), std::move(attributes));
}

std::string OnnxExperts::Tokens(const std::string& name, const std::string& x) {
  return graph_.Node("Reshape", name + "/tokens", {x, Integers("experts/tokens", {-1, h_.hidden})});
}

std::string OnnxExperts::AsBatch(const std::string& name, const std::string& x,
                                 const std::string& tokens) {
  return graph_.Node("Reshape", name + "/added",
                     {tokens, graph_.Node("Shape", name + "/shape", {x})});
}

}  // namespace quantfleet::pipeline
