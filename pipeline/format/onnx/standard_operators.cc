// The standard's operators alone: DequantizeLinear by blocks, norms and attention spelled out.
// Activations are F32.
#include "pipeline/format/onnx/onnx_operators.h"
#include "pipeline/format/onnx/standard_attention.h"

namespace quantfleet::pipeline {
namespace {

class Standard final : public OnnxOperators {
 public:
  explicit Standard(const OnnxSite& site)
      : h_(site.hyper),
        graph_(site.graph),
        data_(site.data),
        attention_(h_, graph_, data_, {.cached = true}) {}

  std::string Lengths() override { return attention_.Lengths(); }

  // Rows of codes and of scales, so that no more than them is dequantized.
  std::string Lookup(const OnnxTensor& t) override {
    Codes w = Quantized(t);
    for (std::string* part : {&w.codes, &w.scales, &w.zero_points})
      if (!part->empty())
        *part = Node("Gather", *part + "/rows", {*part, "input_ids"}, {{"axis", kFirstAxis}});
    return Dequantize(w, "embedding", 2);
  }

  std::string Multiply(const OnnxTensor& t, const std::string& name,
                       const std::string& x) override {
    const std::string weight = Dequantize(Quantized(t), name + "/weight", 1);
    return Node("MatMul", name, {x, Node("Transpose", name + "/transposed", {weight})});
  }

  std::string Normalize(const std::string& of, const std::string& x, const std::string& skip,
                        const std::string& weight, std::string* sum) override {
    const std::string all = skip.empty() ? x : Node("Add", of + "/sum", {x, skip});
    if (sum) *sum = all;
    const std::string mean =
        Node("ReduceMean", of + "/mean_square",
             {Node("Mul", of + "/square", {all, all}), Integers("axis/last", {kLastAxis})});
    const std::string root =
        Node("Sqrt", of + "/root",
             {Node("Add", of + "/not_zero", {mean, Number("norm/epsilon", h_.norm_epsilon)})});
    return Node("Mul", of + "/normed", {Node("Div", of + "/unit", {all, root}), weight});
  }

  std::string Attend(const OnnxAttention& how, const std::string& qkv) override {
    return attention_.Attend(how, qkv);
  }

 private:
  struct Codes {
    std::string codes, scales, zero_points;  // the last is empty where codes are signed
    int64_t group;
  };
  Codes Quantized(const OnnxTensor& t) {
    const bool points = HasPart(t.dtype, Part::kZeroPoints);
    Codes out{t.is.name + ".codes", t.is.name + ".scales", points ? t.is.name + ".zero_points" : "",
              Info(t.dtype).block_elements};
    if (data_.Has(out.codes)) return out;
    const std::vector<int64_t> whole{t.is.rows, t.is.cols},
        by_group{t.is.rows, t.is.cols / out.group};
    data_.AddPart(out.codes, t, points ? Part::kCodes : Part::kSignedCodes, whole);
    data_.AddPart(out.scales, t, Part::kScales32, by_group);
    if (points) data_.AddPart(out.zero_points, t, Part::kZeroPoints, by_group);
    return out;
  }

  // `axis` is that along which elements share a scale.
  std::string Dequantize(const Codes& w, std::string name, int64_t axis) {
    std::vector<std::string> inputs{w.codes, w.scales};
    if (!w.zero_points.empty()) inputs.push_back(w.zero_points);
    return Node("DequantizeLinear", std::move(name), std::move(inputs),
                {{"axis", axis}, {"block_size", w.group}});
  }

  std::string Node(const char* op, std::string name, std::vector<std::string> inputs,
                   std::vector<OnnxAttribute> attributes = {}, std::vector<std::string> more = {}) {
    return graph_.Node(op, std::move(name), std::move(inputs), std::move(attributes),
                       std::move(more));
  }

  // Constants, each once.
  std::string Integers(std::string name, const std::vector<int64_t>& values) {
    return data_.Has(name) ? name : graph_.Vector(std::move(name), values);
  }
  std::string Number(std::string name, float value) {
    return data_.Has(name) ? name : graph_.Number(std::move(name), value);
  }

  const Hyperparameters& h_;
  OnnxGraph& graph_;
  OnnxData& data_;
  StandardAttention attention_;
};

}  // namespace

std::unique_ptr<OnnxOperators> StandardOperators(const OnnxSite& site) {
  return std::make_unique<Standard>(site);
}

}  // namespace quantfleet::pipeline
