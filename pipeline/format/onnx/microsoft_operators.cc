// MatMulNBits, GatherBlockQuantized, simplified norms and GroupQueryAttention.
#include "pipeline/format/onnx/onnx_operators.h"
#include "pipeline/format/onnx/spelled_lookup.h"

namespace quantfleet::pipeline {
namespace {

// Of GroupQueryAttention: head_sink.
constexpr size_t kSinksInput = 11;

class Microsoft final : public OnnxOperators {
 public:
  explicit Microsoft(const OnnxSite& site)
      : h_(site.hyper),
        float_(site.float_type),
        accuracy_level_(AccuracyLevel(site.exact)),
        web_(site.web),
        graph_(site.graph),
        data_(site.data) {}

  // Each sequence's last position, and the length of all.
  std::string Lengths() override {
    const std::string axis = graph_.Vector("attention/axis", {1});
    const std::string one = graph_.Scalar("attention/one", onnx::TensorProto::INT64, 1);
    const std::string count = graph_.Node("ReduceSum", "attention/count", {"attention_mask", axis},
                                          {{"keepdims", int64_t{0}}});
    const std::string last = graph_.Node("Sub", "attention/last", {count, one});
    last_ = graph_.Node("Cast", "attention/seqlens_k", {last},
                        {{"to", int64_t{onnx::TensorProto::INT32}}});
    const std::string shape = graph_.Node("Shape", "attention/mask_shape", {"attention_mask"});
    const std::string total =
        graph_.Node("Gather", "attention/total", {shape, one}, {{"axis", int64_t{0}}});
    total_ = graph_.Node("Cast", "attention/total_sequence_length", {total},
                         {{"to", int64_t{onnx::TensorProto::INT32}}});
    return total_;
  }

  std::string Lookup(const OnnxTensor& t) override {
    const Codes w = Quantized(t, {t.is.rows, t.is.cols * CodeBits(t.dtype) / 8}, ".rows");
    if (web_)
      return SpelledLookup(
          {w.codes, w.scales, w.zero_points, CodeBits(t.dtype), w.group, t.is.cols}, float_,
          graph_);
    std::vector<std::string> inputs{w.codes, "input_ids", w.scales};
    if (!w.zero_points.empty()) inputs.push_back(w.zero_points);
    return graph_.Contrib("GatherBlockQuantized", "embedding", std::move(inputs),
                          {{"gather_axis", int64_t{0}},
                           {"quantize_axis", int64_t{1}},
                           {"block_size", w.group},
                           {"bits", int64_t{CodeBits(t.dtype)}}});
  }

  std::string Multiply(const OnnxTensor& t, const std::string& name,
                       const std::string& x) override {
    const int64_t bits = CodeBits(t.dtype), group = Info(t.dtype).block_elements;
    const Codes w = Quantized(t, {t.is.rows, t.is.cols / group, group * bits / 8}, ".blocks");
    std::vector<std::string> inputs{x, w.codes, w.scales};
    if (!w.zero_points.empty()) inputs.push_back(w.zero_points);
    return graph_.Contrib("MatMulNBits", name, std::move(inputs),
                          {{"K", t.is.cols},
                           {"N", t.is.rows},
                           {"bits", bits},
                           {"block_size", w.group},
                           {"accuracy_level", accuracy_level_}});
  }

  std::string Normalize(const std::string& of, const std::string& x, const std::string& skip,
                        const std::string& weight, std::string* sum) override {
    std::string name = of + "/normed";
    if (skip.empty())
      return graph_.Node(
          "SimplifiedLayerNormalization", std::move(name), {x, weight},
          {{"epsilon", h_.norm_epsilon}, {"axis", int64_t{-1}}, {"stash_type", int64_t{1}}});
    std::vector<std::string> more;
    if (sum) {
      *sum = of + "/sum";
      more = {"", "", *sum};
    }
    return graph_.Contrib("SkipSimplifiedLayerNormalization", std::move(name), {x, skip, weight},
                          {{"epsilon", h_.norm_epsilon}}, std::move(more));
  }

  std::string Attend(const OnnxAttention& how, const std::string& qkv) override {
    const int layer = how.layer;
    std::vector<std::string> inputs{qkv,
                                    "",
                                    "",
                                    fmt::format("past_key_values.{}.key", layer),
                                    fmt::format("past_key_values.{}.value", layer),
                                    last_,
                                    total_};
    if (how.tables)
      for (const char* what : {"cos", "sin"})
        inputs.push_back(fmt::format("{}_cache{}", what, how.tables));
    if (!how.sinks.empty()) {
      inputs.resize(kSinksInput);
      inputs.push_back(how.sinks);
    }
    return graph_.Contrib(
        "GroupQueryAttention", fmt::format("model.layers.{}.attention", layer), std::move(inputs),
        {{"num_heads", h_.heads},
         {"kv_num_heads", h_.kv_heads},
         {"scale", AttentionScale(h_)},
         {"local_window_size", how.window > 0 ? how.window : int64_t{-1}},
         {"softcap", h_.score_cap},
         {"do_rotary", int64_t{how.tables != nullptr}},
         {"rotary_interleaved", int64_t{0}}},
        {fmt::format("present.{}.key", layer), fmt::format("present.{}.value", layer)});
  }

 private:
  // What a quantized weight consists of: names of initializers, and the size of a group.
  struct Codes {
    std::string codes, scales,
        zero_points;  // the last is empty around the middle, which is the operators' default
    int64_t group;
  };
  // `dims` is the shape that the operator wants its codes in. Where another has them already, they
  // are seen in this one under the name with `suffix`.
  Codes Quantized(const OnnxTensor& t, const std::vector<int64_t>& dims, const char* suffix) {
    const int64_t rows = t.is.rows, cols = t.is.cols;
    Codes out{t.is.name + ".codes", t.is.name + ".scales", "", Info(t.dtype).block_elements};
    if (HasPart(t.dtype, Part::kZeroPoints)) out.zero_points = t.is.name + ".zero_points";
    if (data_.Has(out.codes)) {
      if (data_.Shape(out.codes) != dims) {
        data_.AddView(t.is.name + suffix, out.codes, dims);
        out.codes = t.is.name + suffix;
      }
      return out;
    }
    data_.AddPart(out.codes, t, Part::kCodes, dims);
    data_.AddPart(out.scales, t, float_ == DType::kF16 ? Part::kScales : Part::kScales32,
                  {rows, cols / out.group});
    if (!out.zero_points.empty())
      data_.AddPart(out.zero_points, t, Part::kZeroPoints,
                    {rows, PartRowBytes(Part::kZeroPoints, t.dtype, cols)});
    return out;
  }

  const Hyperparameters& h_;
  const DType float_;
  const int64_t accuracy_level_;
  const bool web_;
  OnnxGraph& graph_;
  OnnxData& data_;
  std::string last_, total_;
};

}  // namespace

std::unique_ptr<OnnxOperators> MicrosoftOperators(const OnnxSite& site) {
  return std::make_unique<Microsoft>(site);
}

}  // namespace quantfleet::pipeline
