#include "pipeline/format/onnx/onnx_decoder.h"

#include <optional>

#include "pipeline/format/layout/attention_window.h"
#include "pipeline/format/onnx/embedding_graph.h"
#include "pipeline/format/onnx/onnx_experts.h"
#include "pipeline/format/onnx/rope_tables.h"
#include "pipeline/format/onnx/standard_attention.h"
#include "pipeline/model/rope.h"

namespace quantfleet::pipeline {
namespace {

// The tables are known when planning, so they lie in memory then.
constexpr int64_t kMaxTableValues = int64_t{16} << 20;

class Decoder : OnnxLayers {
 public:
  Decoder(const OnnxParts& parts, onnx::GraphProto& graph, OnnxData& data)
      : OnnxLayers(parts, graph, data), embedding_(parts.model.embedding) {
    if (embedding_) attention_.emplace(h_, graph_, data_, StandardAttention::Kind{.type = float_});
    if (family_.experts)
      experts_.emplace(family_, OnnxSite{h_, float_, parts.exact, parts.web, graph_, data_},
                       parts.flavour);
  }

  absl::Status Run() {
    if (h_.context > kMaxTableValues / std::max<int64_t>(h_.rope_dims / 2, 1))
      return ResourceExhausted(
          "a context of {} tokens needs more than {} for its rotary tables: lower "
          "max_position_embeddings in config.json, or use a gguf target",
          h_.context, HumanBytes(2 * sizeof(float) * kMaxTableValues));
    embedding_ ? EmbeddingInputs() : Inputs();
    Rotary(attention_ ? attention_->Lengths() : operators_->Lengths());
    if (h_.sliding_rope_theta != 0)
      AddTables(kSliding, AsSlidingLayersTurn(h_), h_.context, {}, 1, 1);
    std::string x = Embedding();
    std::string skip;
    for (int layer = 0; layer < static_cast<int>(h_.layers); ++layer) Layer(layer, x, skip);
    const std::string normed = Normalize(Role::kOutputNorm, -1, x, skip, nullptr);
    if (embedding_) {
      AddVectors(embedding_->pooling, normed, float_, h_.hidden, graph_);
    } else {
      Head(normed);
    }
    return absl::OkStatus();
  }

 private:
  void EmbeddingInputs() { AddEmbeddingInputs({"input_ids", "attention_mask"}, graph_); }

  void Inputs() {
    graph_.Input("input_ids", onnx::TensorProto::INT64, {"batch_size", "sequence_length"});
    graph_.Input("attention_mask", onnx::TensorProto::INT64,
                 {"batch_size", "total_sequence_length"});
    graph_.Output("logits", float_number_, {"batch_size", "sequence_length", h_.vocab});
    for (int64_t layer = 0; layer < h_.layers; ++layer)
      for (const char* what : {"key", "value"}) {
        graph_.Input(fmt::format("past_key_values.{}.{}", layer, what), float_number_,
                     {"batch_size", h_.kv_heads, "past_sequence_length", h_.head_dim});
        graph_.Output(fmt::format("present.{}.{}", layer, what), float_number_,
                      {"batch_size", h_.kv_heads, "total_sequence_length", h_.head_dim});
      }
  }

  void AddTables(const char* suffix, const Hyperparameters& h, int64_t positions,
                 const std::vector<double>& factors, double factor, double magnitude) {
    const RopeTables tables = MakeRopeTables(h, positions, factors, factor, magnitude);
    data_.AddValues(fmt::format("cos_cache{}", suffix), {positions, h_.rope_dims / 2}, float_,
                    tables.cos);
    data_.AddValues(fmt::format("sin_cache{}", suffix), {positions, h_.rope_dims / 2}, float_,
                    tables.sin);
  }

  onnx::GraphProto Branch(const char* suffix, int64_t positions) const {
    onnx::GraphProto graph;
    graph.set_name(fmt::format("rotary{}", suffix));
    OnnxGraph branch(graph);
    for (const char* what : {"cos", "sin"}) {
      const std::string out = fmt::format("{}{}/taken", what, suffix);
      branch.Node("Identity", out, {fmt::format("{}_cache{}", what, suffix)});
      branch.Output(out, float_number_, {positions, h_.rope_dims / 2});
    }
    return graph;
  }

  // LongRoPE: two tables each, of which the length of the sequence decides.
  void Rotary(const std::string& total) {
    const RopeScaling& rope = h_.rope_scaling;
    if (rope.kind != RopeScaling::Kind::kLongRope) {
      const double factor = rope.kind == RopeScaling::Kind::kLinear ? rope.factor : 1.0;
      const std::vector<double> factors = rope.kind == RopeScaling::Kind::kYarn
                                              ? YarnFrequencyFactors(h_)
                                              : Wide(Llama3FrequencyFactors(h_));
      return AddTables("", h_, h_.context, factors, factor, YarnMagnitude(h_));
    }
    const double magnitude = rope.attention_factor.value_or(1.f);
    AddTables("_large", h_, h_.context, Wide(rope.long_factors), 1, magnitude);
    const int64_t original = std::min(h_.original_context, h_.context);
    AddTables("_small", h_, original, Wide(rope.short_factors), 1, magnitude);
    const std::string limit = graph_.Scalar("rotary/original", onnx::TensorProto::INT32, original);
    const std::string is_long = graph_.Node("Greater", "rotary/is_long", {total, limit});
    graph_.Node("If", "cos_cache", {is_long},
                {{"then_branch", Branch("_large", h_.context)},
                 {"else_branch", Branch("_small", original)}},
                {"sin_cache"});
  }

  std::string Embedding() {
    return Scaled("embedding/scaled", Looked(), EmbeddingScale(family_, h_));
  }

  // x + skip is the residual stream on entry and exit.
  void Layer(int layer, std::string& x, std::string& skip) {
    std::string residual = x;
    std::string normed =
        Normalize(Role::kAttnNorm, layer, x, skip, skip.empty() ? nullptr : &residual);
    const std::string qkv = Product(Role::kAttnQ, layer, normed);
    const OnnxTensor* sinks = Tensor(Role::kAttnSinks, layer);
    const OnnxAttention how{layer, TablesOf(layer), AttentionWindow(h_, layer),
                            sinks == nullptr ? "" : Stored(*sinks)};
    const std::string attended = Attend(how, NormalizeHeads(layer, qkv));
    const auto part = [&](const char* name, Role norm, std::string added) {
      if (Tensor(norm, layer)) added = Normalize(norm, layer, added, "", nullptr);
      return Scaled(fmt::format("model.layers.{}.{}/scaled", layer, name), added,
                    h_.residual_scale);
    };
    const std::string projected =
        part("self_attn", Role::kAttnPostNorm, Product(Role::kAttnOutput, layer, attended));
    if (family_.residual == Residual::kParallel) {
      x = residual;
      skip = graph_.Node("Add", fmt::format("model.layers.{}.parts", layer),
                         {projected, part("mlp", Role::kFfnPostNorm, FeedForward(layer, normed))});
      return;
    }
    std::string after;
    normed = Normalize(Role::kFfnNorm, layer, residual, projected, &after);
    x = after;
    skip = part("mlp", Role::kFfnPostNorm, FeedForward(layer, normed));
  }

  std::string Attend(const OnnxAttention& how, const std::string& qkv) {
    return attention_ ? attention_->Attend(how, qkv) : operators_->Attend(how, qkv);
  }

  // OnnxAttention::tables of the layer.
  const char* TablesOf(int layer) const {
    if (!TurnsLayer(family_, layer)) return nullptr;
    return h_.sliding_rope_theta != 0 && WindowOf(h_, layer) > 0 ? kSliding : "";
  }

  // With each head of q and k by itself, where the model has such norms.
  std::string NormalizeHeads(int layer, const std::string& qkv) {
    if (Tensor(Role::kAttnQNorm, layer) == nullptr) return qkv;
    const auto name = [&](std::string_view what) {
      return fmt::format("model.layers.{}.heads/{}", layer, what);
    };
    const int64_t kv = h_.kv_heads * h_.head_dim;
    std::vector<std::string> parts{name("q"), name("k"), name("v")};
    graph_.Node("Split", parts[0], {qkv, Integers("heads/sizes", {h_.heads * h_.head_dim, kv, kv})},
                {{"axis", int64_t{-1}}}, {parts[1], parts[2]});
    const auto normed = [&](std::string& part, Role role, int64_t heads) {
      const std::string apart =
          graph_.Node("Reshape", part + "/apart",
                      {part, Integers(fmt::format("heads/{}", heads), {0, 0, heads, h_.head_dim})});
      part = graph_.Node(
          "Reshape", part + "/joined",
          {Normalize(role, layer, apart, "", nullptr), Integers("heads/joined", {0, 0, -1})});
    };
    normed(parts[0], Role::kAttnQNorm, h_.heads);
    normed(parts[1], Role::kAttnKNorm, h_.kv_heads);
    return graph_.Node("Concat", name("qkv"), parts, {{"axis", int64_t{-1}}});
  }

  std::string Experts(int layer, const std::string& x) {
    const auto bias = [&](Role role) { return Bias(role, layer); };
    const OnnxMixture mixture{*Tensor(Role::kFfnGateExpert, layer),
                              *Tensor(Role::kFfnUpExpert, layer),
                              *Tensor(Role::kFfnDownExpert, layer),
                              bias(Role::kFfnGateExpert),
                              bias(Role::kFfnUpExpert),
                              bias(Role::kFfnDownExpert)};
    return experts_->Run(fmt::format("model.layers.{}.mlp", layer), mixture, x,
                         Product(Role::kFfnRouter, layer, x));
  }

  std::string FeedForward(int layer, const std::string& x) {
    if (experts_) return Experts(layer, x);
    if (Tensor(Role::kFfnGate, layer) == nullptr)
      return Product(Role::kFfnDown, layer, Activate(layer, Product(Role::kFfnUp, layer, x)));
    const std::string gate = Product(Role::kFfnGate, layer, x),
                      up = Product(Role::kFfnUp, layer, x);
    const std::string gated = graph_.Node("Mul", fmt::format("model.layers.{}.mlp/gated", layer),
                                          {Activate(layer, gate), up});
    return Product(Role::kFfnDown, layer, gated);
  }

  std::string Activate(int layer, const std::string& x) {
    const auto name = [&](const char* what) {
      return fmt::format("model.layers.{}.mlp/{}", layer, what);
    };
    if (family_.activation == Activation::kGeluTanh)
      return graph_.Node("Gelu", name("gelu"), {x}, {{"approximate", std::string("tanh")}});
    return graph_.Node("Mul", name("silu"), {x, graph_.Node("Sigmoid", name("sigmoid"), {x})});
  }

  void Head(const std::string& x) {
    const OnnxTensor& t =
        *Tensor(h_.tied_embeddings ? Role::kTokenEmbedding : Role::kOutputHead, -1);
    const OnnxTensor* bias = Bias(Role::kOutputHead, -1);
    const bool divided = h_.logit_divisor != 1, capped = h_.logit_cap != 0;
    // What comes last is called "logits".
    std::string logits =
        Multiply(t, bias != nullptr || divided || capped ? "logits/product" : "logits", x);
    if (bias != nullptr)
      logits = graph_.Node("Add", divided || capped ? "logits/added" : "logits",
                           {logits, Stored(*bias)});
    logits = Scaled(capped ? "logits/divided" : "logits", logits, 1 / h_.logit_divisor);
    if (!capped) return;
    data_.AddValues("logits/cap", {1}, float_, {h_.logit_cap});
    const std::string narrowed = graph_.Node("Div", "logits/narrowed", {logits, "logits/cap"});
    graph_.Node("Mul", "logits", {graph_.Node("Tanh", "logits/bent", {narrowed}), "logits/cap"});
  }

  const std::optional<EmbeddingUse> embedding_;
  std::optional<StandardAttention> attention_;  // of an embedding model, which has no cache
  std::optional<OnnxExperts> experts_;
};

}  // namespace

absl::Status BuildDecoder(const OnnxParts& parts, onnx::GraphProto& graph, OnnxData& data) {
  return Decoder(parts, graph, data).Run();
}

}  // namespace quantfleet::pipeline
