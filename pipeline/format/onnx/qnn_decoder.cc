#include "pipeline/format/onnx/qnn_decoder.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "pipeline/format/layout/attention_window.h"
#include "pipeline/format/onnx/qnn_attention.h"
#include "pipeline/format/onnx/qnn_graph.h"

namespace quantfleet::pipeline {
namespace {

// silu's and gelu's least values.
constexpr float kLeastSilu = -0.2785f, kLeastGelu = -0.1701f;

ValueRange Times(const ValueRange& range, float factor) {
  return factor < 0 ? ValueRange{range.high * factor, range.low * factor}
                    : ValueRange{range.low * factor, range.high * factor};
}

class QnnDecoder {
 public:
  QnnDecoder(const QnnParts& parts, int64_t tokens, onnx::GraphProto& graph, OnnxData& data)
      : parts_(parts),
        family_(*parts.model.family),
        h_(parts.model.hyper),
        tokens_(tokens),
        data_(data),
        graph_(graph, data),
        attention_(parts, tokens, graph_) {
    for (const OnnxTensor& tensor : parts.tensors) tensors_.emplace(tensor.is.name, &tensor);
  }

  absl::Status Run() {
    Inputs();
    attention_.Places();
    QnnValue x = Embedding();
    for (int layer = 0; layer < static_cast<int>(h_.layers); ++layer) x = Layer(layer, x);
    Head(Normalize(Role::kOutputNorm, -1, x, Measured(-1, "output_norm"), kWide));
    if (missing_.empty()) return absl::OkStatus();
    return InvalidArgument(
        "the calibration's ranges do not have '{}': they are of another model, or of an older "
        "version: calibrate again with --ranges",
        missing_);
  }

 private:
  static constexpr int kWide = 16;  // bits of what is added, normed and activated

  void Inputs() {
    OnnxGraph& graph = graph_.plain;
    graph.Input("input_ids", onnx::TensorProto::INT32, {int64_t{1}, tokens_});
    graph.Input("past_seq_len", onnx::TensorProto::INT32, {int64_t{1}, int64_t{1}});
    graph.Input("total_seq_len", onnx::TensorProto::INT32, {int64_t{1}});
    graph.Output("logits", onnx::TensorProto::FLOAT, {int64_t{1}, tokens_, h_.vocab});
    for (int64_t layer = 0; layer < h_.layers; ++layer)
      for (const char* what : {"key", "value"}) {
        graph.Input(fmt::format("past_key_values.{}.{}", layer, what), onnx::TensorProto::UINT8,
                    {int64_t{1}, h_.kv_heads, parts_.context, h_.head_dim});
        graph.Output(fmt::format("present.{}.{}", layer, what), onnx::TensorProto::UINT8,
                     {int64_t{1}, h_.kv_heads, parts_.context, h_.head_dim});
      }
  }

  // The name of an activation of a layer, or of none, and within what it was.
  ValueRange Measured(int layer, std::string_view step) {
    const std::string name = layer < 0 ? std::string(step) : fmt::format("blk.{}.{}", layer, step);
    const auto it = parts_.ranges.of.find(name);
    if (it != parts_.ranges.of.end()) return it->second;
    if (missing_.empty()) missing_ = name;
    return {-1, 1};
  }

  const std::vector<float>* Vector(std::optional<Role> role, int layer) const {
    if (!role) return nullptr;
    const auto it = parts_.vectors.find({*role, layer});
    return it == parts_.vectors.end() ? nullptr : &it->second;
  }

  // A weight's codes and scales, each once; and the float matrix of them.
  std::string Weight(const OnnxTensor& t) {
    const std::string codes = t.is.name + ".codes", scales = t.is.name + ".scales",
                      value = t.is.name + "/value";
    if (!data_.Has(codes)) {
      data_.AddPart(codes, t, Part::kSignedCodes, {t.is.rows, t.is.cols});
      data_.AddPart(scales, t, Part::kScales32, {t.is.rows});
    }
    if (decoded_.insert(value).second)
      graph_.plain.Node("DequantizeLinear", value, {codes, scales}, {{"axis", kFirstAxis}});
    return value;
  }

  // Of the tokens' rows alone, which the processor decodes.
  QnnValue Embedding() {
    const OnnxTensor& t = *tensors_.at(QnnName(family_, Role::kTokenEmbedding, -1));
    const std::string codes = t.is.name + ".codes", scales = t.is.name + ".scales";
    data_.AddPart(codes, t, Part::kSignedCodes, {t.is.rows, t.is.cols});
    data_.AddPart(scales, t, Part::kScales32, {t.is.rows});
    OnnxGraph& graph = graph_.plain;
    const std::string ids = graph.Node("Reshape", "embedding/ids",
                                       {"input_ids", graph_.Integers("shape/tokens", {tokens_})});
    const auto rows = [&](const char* name, const std::string& of) {
      return graph.Node("Gather", name, {of, ids}, {{"axis", kFirstAxis}});
    };
    std::string row_scales = rows("embedding/row_scales", scales);
    if (const float scale = EmbeddingScale(family_, h_); scale != 1)
      row_scales = graph.Node("Mul", "embedding/scaled",
                              {row_scales, graph.Number("embedding/factor", scale)});
    const std::string decoded =
        graph.Node("DequantizeLinear", "embedding/rows",
                   {rows("embedding/row_codes", codes), row_scales}, {{"axis", kFirstAxis}});
    return graph_.Quantize("embedding", decoded, {Measured(-1, "token_embd"), kWide});
  }

  QnnValue Layer(int layer, const QnnValue& x) {
    const QnnValue normed =
        Normalize(Role::kAttnNorm, layer, x, Measured(layer, "attn_norm"), parts_.bits);
    const auto product = [&](Role role, const QnnValue& of, std::string_view step) {
      return Product(role, layer, of, Measured(layer, step));
    };
    const QnnAttention::Layer how{.layer = layer,
                                  .turned_queries = Measured(layer, "attn_q_turned"),
                                  .turned_keys = Measured(layer, "attn_k_turned"),
                                  .scores = Measured(layer, "attn_scores"),
                                  .attended = Measured(layer, "attn_heads"),
                                  .query_norm = Vector(Role::kAttnQNorm, layer),
                                  .key_norm = Vector(Role::kAttnKNorm, layer)};
    const QnnValue attended = attention_.Attend(how, product(Role::kAttnQ, normed, "attn_q"),
                                                product(Role::kAttnK, normed, "attn_k"),
                                                product(Role::kAttnV, normed, "attn_v"));
    const QnnValue after =
        Join(layer, x, product(Role::kAttnOutput, Narrow(attended), "attn_output"),
             Role::kAttnPostNorm, "attn_post_norm", "attn_residual");
    const QnnValue inner =
        family_.residual == Residual::kParallel
            ? normed
            : Normalize(Role::kFfnNorm, layer, after, Measured(layer, "ffn_norm"), parts_.bits);
    // In 16 bits throughout: a few tokens' values here are a thousand times the others'.
    return Join(layer, after, product(Role::kFfnDown, FeedForward(layer, inner), "ffn_down"),
                Role::kFfnPostNorm, "ffn_post_norm", "ffn_residual");
  }

  QnnValue Wide(const QnnValue& x) { return graph_.Convert(x, {x.as.range, kWide}); }
  QnnValue Narrow(const QnnValue& x) { return graph_.Convert(x, {x.as.range, parts_.bits}); }

  // x and what a part adds to it.
  QnnValue Join(int layer, const QnnValue& x, QnnValue added, Role norm, std::string_view norm_step,
                std::string_view step) {
    const std::string name = fmt::format("model.layers.{}.{}", layer, step);
    added = Wide(added);
    if (Vector(norm, layer) != nullptr)
      added = Normalize(norm, layer, added, Measured(layer, norm_step), kWide);
    if (h_.residual_scale != 1) added = Scaled(name + "/scaled", added, h_.residual_scale);
    return graph_.Op("Add", name, {x.name, added.name}, {}, {Measured(layer, step), kWide});
  }

  QnnValue Scaled(const std::string& name, const QnnValue& x, float factor) {
    const QnnValue by = graph_.Constant(name + "/factor", {1}, {factor}, kWide);
    return graph_.Op("Mul", name, {x.name, by.name}, {}, {Times(x.as.range, factor), kWide});
  }

  QnnValue Normalize(Role role, int layer, const QnnValue& x, const ValueRange& range, int bits) {
    const QnnValue normed = family_.norm == Norm::kRms
                                ? QnnRmsNorm(graph_, TensorName(family_, Dialect::kHf, role, layer),
                                             x, *Vector(role, layer), range)
                                : LayerNorm(role, layer, x, range);
    return graph_.Convert(normed, {range, bits});
  }

  QnnValue LayerNorm(Role role, int layer, const QnnValue& x, const ValueRange& range) {
    const std::string name = TensorName(family_, Dialect::kHf, role, layer);
    const auto width = static_cast<int64_t>(Vector(role, layer)->size());
    std::vector<std::string> inputs{
        x.name, graph_.Constant(name, {width}, *Vector(role, layer), kWide).name};
    if (const std::vector<float>* bias = Vector(Info(role).bias, layer))
      inputs.push_back(graph_.Constant(name + ".bias", {width}, *bias, kWide).name);
    return graph_.Op("LayerNormalization", name + "/normed", std::move(inputs),
                     {{"axis", kLastAxis}, {"epsilon", h_.norm_epsilon}}, {range, kWide});
  }

  // Of [tokens, columns], in x's bits; `range` is that of the result.
  QnnValue Product(Role role, int layer, const QnnValue& x, const ValueRange& range) {
    return Multiply(*tensors_.at(QnnName(family_, role, layer)), x, Vector(Info(role).bias, layer),
                    range);
  }

  QnnValue Multiply(const OnnxTensor& t, const QnnValue& x, const std::vector<float>* bias,
                    const ValueRange& range) {
    ValueRange before = range;
    if (bias != nullptr) {
      const auto [least, most] = std::ranges::minmax(*bias);
      before = {range.low - most, range.high - least};
    }
    const QnnValue product = graph_.Op("Gemm", t.is.name + "/product", {x.name, Weight(t)},
                                       {{"transB", int64_t{1}}}, {before, x.as.bits});
    if (bias == nullptr) return product;
    const QnnValue by = graph_.Constant(t.is.name + ".bias", {t.is.rows}, *bias, x.as.bits);
    return graph_.Op("Add", t.is.name + "/added", {product.name, by.name}, {}, {range, x.as.bits});
  }

  QnnValue FeedForward(int layer, const QnnValue& x) {
    const auto name = [&](const char* what) {
      return fmt::format("model.layers.{}.mlp/{}", layer, what);
    };
    const ValueRange activated = Measured(layer, "ffn_activated");
    const QnnValue up = Wide(Product(Role::kFfnUp, layer, x, Measured(layer, "ffn_up")));
    if (!tensors_.contains(QnnName(family_, Role::kFfnGate, layer)))
      return Activate(name("activated"), up, activated);
    const QnnValue gate = Wide(Product(Role::kFfnGate, layer, x, Measured(layer, "ffn_gate")));
    const bool is_silu = family_.activation == Activation::kSilu;
    const QnnValue bent =
        Activate(name("gate_activated"), gate,
                 {is_silu ? kLeastSilu : kLeastGelu, std::max(gate.as.range.high, 0.f)});
    return graph_.Op("Mul", name("activated"), {bent.name, up.name}, {}, {activated, kWide});
  }

  QnnValue Activate(const std::string& name, const QnnValue& x, const ValueRange& range) {
    if (family_.activation == Activation::kGeluTanh)
      return graph_.Op("Gelu", name, {x.name}, {{"approximate", std::string("tanh")}},
                       {range, kWide});
    const QnnValue gate = graph_.Op("Sigmoid", name + "/sigmoid", {x.name}, {}, {{0, 1}, kWide});
    return graph_.Op("Mul", name, {x.name, gate.name}, {}, {range, kWide});
  }

  void Head(const QnnValue& x) {
    const Role role = h_.tied_embeddings ? Role::kTokenEmbedding : Role::kOutputHead;
    const ValueRange range = Measured(-1, "logits");
    const float cap = h_.logit_cap, divisor = h_.logit_divisor;
    // What was before the cap.
    constexpr float kAlmost = 0.9999f;
    const auto uncapped = [&](float value) {
      return cap == 0 ? value : cap * std::atanh(std::clamp(value / cap, -kAlmost, kAlmost));
    };
    const ValueRange wide = {uncapped(range.low), uncapped(range.high)};
    QnnValue logits = Multiply(*tensors_.at(QnnName(family_, role, -1)), x,
                               Vector(Role::kOutputHeadBias, -1), Times(wide, divisor));
    if (divisor != 1) logits = Scaled("logits/divided", logits, 1 / divisor);
    if (cap != 0) logits = QnnCapped(graph_, "logits/capped", logits, cap);
    const std::string apart =
        graph_.plain.Node("Reshape", "logits/step",
                          {logits.name, graph_.Integers("shape/logits", {1, tokens_, h_.vocab})});
    graph_.Quantize("logits/out", apart, logits.as, "", "logits");
  }

  const QnnParts& parts_;
  const Family& family_;
  const Hyperparameters& h_;
  const int64_t tokens_;
  OnnxData& data_;
  QnnGraph graph_;
  QnnAttention attention_;
  std::map<std::string, const OnnxTensor*, std::less<>> tensors_;
  std::set<std::string> decoded_;  // weights
  std::string missing_;            // the first activation without a range
};

}  // namespace

std::string QnnName(const Family& family, Role role, int layer) {
  return TensorName(family, Dialect::kHf, role, layer);
}

absl::Status BuildQnnDecoder(const QnnParts& parts, int64_t tokens, onnx::GraphProto& graph,
                             OnnxData& data) {
  return QnnDecoder(parts, tokens, graph, data).Run();
}

}  // namespace quantfleet::pipeline
