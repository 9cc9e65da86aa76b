#include "pipeline/format/openvino/openvino_decoder.h"

#include <cmath>
#include <map>

#include "pipeline/format/layout/attention_window.h"
#include "pipeline/format/openvino/openvino_experts.h"
#include "pipeline/format/openvino/openvino_layers.h"
#include "pipeline/model/rope.h"

namespace quantfleet::pipeline {
namespace {

std::vector<double> Wide(const std::vector<float>& values) {
  return {values.begin(), values.end()};
}

class Decoder : OpenVinoLayers {
 public:
  // All have to outlive this.
  Decoder(const ModelDescription& model, IrGraph& graph, OpenVinoWeights& weights,
          IrConstants& constants)
      : OpenVinoLayers(model, graph, weights, constants),
        embeds_(model.embedding.has_value()),
        experts_(model, graph, weights, constants) {}

  void Run() {
    ids_ = graph_.Parameter("input_ids", IrType::kI64, {kAnySize, kAnySize});
    attention_mask_ = graph_.Parameter("attention_mask", IrType::kI64, {kAnySize, kAnySize});
    if (embeds_) {
      positions_ = PlacesOf(attention_mask_);
    } else {
      positions_ = graph_.Parameter("position_ids", IrType::kI64, {kAnySize, kAnySize});
      beams_ = graph_.Parameter("beam_idx", IrType::kI32, {kAnySize});
    }
    Lengths();
    Masks();
    angles_ = Rotary("rotary", h_);
    if (h_.sliding_rope_theta != 0) sliding_angles_ = Rotary("sliding", AsSlidingLayersTurn(h_));
    IrValue x = Rows("embedding", Role::kTokenEmbedding, ids_);
    x = Scaled("embedding/scaled", x, EmbeddingScale(family_, h_));
    for (int layer = 0; layer < static_cast<int>(h_.layers); ++layer) x = Layer(layer, x);
    x = Normalize(Role::kOutputNorm, -1, x);
    embeds_ ? graph_.Result(kHiddenStates, x) : graph_.Result("logits", Head(x));
  }

 private:
  void Lengths() {
    const IrGraph::Attributes type{{"output_type", "i64"}};
    const IrValue ids = graph_.Add(kShapeOf, "lengths/ids", {ids_}, type, IrType::kI64, {2});
    const IrValue mask =
        graph_.Add(kShapeOf, "lengths/mask", {attention_mask_}, type, IrType::kI64, {2});
    total_ = SizeOf("lengths/total", mask, 1);
    past_ = graph_.Elementwise(kSubtract, "lengths/past", total_, SizeOf("lengths/now", ids, 1));
    if (embeds_) return;  // there is no cache, and nothing is past
    const IrValue batch =
        graph_.Add(kGather, "lengths/batch", {ids, constants_.Vector({0}), constants_.Integer(0)},
                   {{"batch_dims", "0"}}, IrType::kI64, {1});
    empty_cache_ =
        Concat("lengths/empty_cache", {batch, constants_.Vector({h_.kv_heads, 0, h_.head_dim})}, 0);
  }

  // One for each window that layers have.
  void Masks() {
    const IrValue keys = Range("mask/keys", constants_.Integer(0), total_);
    const IrValue queries = Unsqueeze("mask/queries", Range("mask/now", past_, total_), {1});
    const IrValue causal = Compare(kLessEqual, "mask/causal", keys, queries);
    const IrValue real_keys = RealKeys(attention_mask_);
    for (int layer = 0; layer < static_cast<int>(h_.layers); ++layer) {
      const int64_t window = AttentionWindow(h_, layer);
      if (masks_.contains(window)) continue;
      if (window == 0) {
        masks_[0] = Mask("mask", Compare(kAnd, "mask/allowed", causal, real_keys));
      } else {
        const IrValue allowed = InWindow(window, keys, queries, causal, real_keys);
        masks_[window] = Whole("window", Mask("window/mask", allowed));
      }
    }
  }

  // What is allowed within a window of so many tokens, the query's own among them. OpenVINO's
  // PagedAttention does without the mask, and learns of the window only from exactly these
  // operations, with `always`, the Broadcast and the Slice of Masks, which change nothing; from any
  // others it would attend to everything.
  IrValue InWindow(int64_t window, IrValue keys, IrValue queries, IrValue causal,
                   IrValue real_keys) {
    const IrValue behind =
        graph_.Elementwise(kAdd, "window/behind", queries, constants_.Integer(-window));
    const IrValue near = Compare(kGreater, "window/near", keys, behind);
    const IrValue always = constants_.True();
    const auto both = [&](const char* name, IrValue a, IrValue b) {
      return graph_.Elementwise(kBitwiseAnd, name, a, b);
    };
    const IrValue in_window = both("window/always_near", always, near);
    const IrValue seen = both("window/causal", in_window, causal);
    const IrValue allowed = both("window/allowed", both("window/seen", always, seen), real_keys);
    return graph_.Add(kBroadcast, "window/spread", {allowed, constants_.Vector({1, 1, 1, 1})},
                      {{"mode", "bidirectional"}}, IrType::kBoolean, graph_.ShapeOf(allowed));
  }

  // Of h's own base, divided by the factors or else by the one factor.
  IrValue Frequencies(const Hyperparameters& h, const std::vector<double>& factors, double factor) {
    std::vector<float> out;
    for (int64_t i = 0; i < h.rope_dims / 2; ++i) {
      const double exponent = -2.0 * static_cast<double>(i) / static_cast<double>(h.rope_dims);
      const double divisor = factors.empty() ? factor : factors[static_cast<size_t>(i)];
      out.push_back(
          static_cast<float>(std::pow(static_cast<double>(h.rope_theta), exponent) / divisor));
    }
    return constants_.Floats({1, 1, h.rope_dims / 2}, out);
  }

  // The length so far, of the longest text of the batch. Under PagedAttention the mask is gone.
  IrValue Longest() {
    const IrValue last =
        graph_.Add({"ReduceMax", "opset1"}, "rotary/last", {positions_, constants_.Vector({0, 1})},
                   {{"keep_dims", "false"}}, IrType::kI64, {});
    return graph_.Elementwise(kAdd, "rotary/longest", last, constants_.Integer(1));
  }

  struct Angles {
    IrValue cos, sin;
  };
  // Cosines and sines of this step's positions, [batch, 1, now, rope_dims], as h turns. Under
  // LongRoPE the length so far decides between two sets of frequencies.
  Angles Rotary(const std::string& name, const Hyperparameters& h) {
    const RopeScaling& rope = h.rope_scaling;
    IrValue frequencies;
    double magnitude = 1;
    if (rope.kind == RopeScaling::Kind::kLongRope) {
      const IrValue longest = Longest();
      const IrValue is_long =
          Compare(kGreater, name + "/is_long", longest, constants_.Integer(h.original_context));
      const IrValue longer = Frequencies(h, Wide(rope.long_factors), 1);
      frequencies = Select(name + "/frequencies", is_long, longer,
                           Frequencies(h, Wide(rope.short_factors), 1));
      magnitude = rope.attention_factor.value_or(1.f);
    } else if (rope.kind == RopeScaling::Kind::kYarn) {
      frequencies = Frequencies(h, YarnFrequencyFactors(h), 1);
      magnitude = YarnMagnitude(h);
    } else {
      frequencies = Frequencies(h, Wide(Llama3FrequencyFactors(h)),
                                rope.kind == RopeScaling::Kind::kLinear ? rope.factor : 1.0);
    }
    const IrValue positions =
        graph_.Add(kConvert, name + "/positions", {positions_}, {{"destination_type", "f32"}},
                   IrType::kF32, {kAnySize, kAnySize});
    const IrValue half = graph_.Elementwise(
        kMultiply, name + "/half", Unsqueeze(name + "/column", positions, {2}), frequencies);
    const IrValue angles = Concat(name + "/angles", {half, half}, 2);
    const IrValue cos =
        Waves({"Cos", "opset1"}, name + "/cos", angles, static_cast<float>(magnitude));
    return {cos, Waves({"Sin", "opset1"}, name + "/sin", angles, static_cast<float>(magnitude))};
  }

  IrValue Waves(IrOp op, std::string name, IrValue angles, float magnitude) {
    IrValue waves =
        graph_.Add(op, name + "/plain", {angles}, {}, IrType::kF32, graph_.ShapeOf(angles));
    if (magnitude != 1)
      waves =
          graph_.Elementwise(kMultiply, name + "/scaled", waves, constants_.Float(magnitude, 3));
    return Unsqueeze(std::move(name), waves, {1});
  }

  // x * cos + (-second half, first half) * sin, of the first rope_dims of each head: [batch, heads,
  // now, head].
  IrValue Rotate(int layer, const std::string& name, IrValue x) {
    if (!TurnsLayer(family_, layer)) return x;
    const bool slides = h_.sliding_rope_theta != 0 && WindowOf(h_, layer) > 0;
    const Angles& angles = slides ? sliding_angles_ : angles_;
    std::vector<IrValue> parts{x};
    if (h_.rope_dims < h_.head_dim)
      parts = Split(name + "/parts", x, {h_.rope_dims, h_.head_dim - h_.rope_dims});
    const std::vector<IrValue> halves =
        Split(name + "/halves", parts[0], {h_.rope_dims / 2, h_.rope_dims / 2});
    const IrValue turned =
        graph_.Elementwise(kMultiply, name + "/turned", halves[1], constants_.Float(-1, 4));
    const IrValue swapped = Concat(name + "/swapped", {turned, halves[0]}, 3);
    const IrValue straight = graph_.Elementwise(kMultiply, name + "/cos", parts[0], angles.cos);
    const IrValue crossed = graph_.Elementwise(kMultiply, name + "/sin", swapped, angles.sin);
    parts[0] = graph_.Elementwise(kAdd, name + "/rotated", straight, crossed);
    return parts.size() == 1 ? parts[0] : Concat(name + "/whole", parts, 3);
  }

  // What comes last is called "logits".
  IrValue Head(IrValue x) {
    const Role weight = h_.tied_embeddings ? Role::kTokenEmbedding : Role::kOutputHead;
    const bool biased = HasBias(Role::kOutputHead, -1), divided = h_.logit_divisor != 1,
               capped = h_.logit_cap != 0;
    x = Product(biased || divided || capped ? "logits/product" : "logits", weight, -1, x);
    if (biased)
      x = AddBias(divided || capped ? "logits/added" : "logits", Role::kOutputHead, -1, x);
    x = Scaled(capped ? "logits/divided" : "logits", x, 1 / h_.logit_divisor);
    return Capped("logits", x, h_.logit_cap);
  }

  // The same of each head, before it turns, where the model has such norms.
  IrValue NormalizeHeads(Role role, int layer, IrValue heads) {
    return weights_.Has(role, layer) ? Normalize(role, layer, heads) : heads;
  }

  std::vector<IrValue> Qkv(int layer, const std::string& name, IrValue x) {
    const int64_t q = h_.heads * h_.head_dim, kv = h_.kv_heads * h_.head_dim;
    if (weights_.NameOf(Role::kAttnQ, layer) == weights_.NameOf(Role::kAttnK, layer))
      return Split(name + "/qkv", Product(Role::kAttnQ, layer, x), {q, kv, kv});
    return {Product(Role::kAttnQ, layer, x), Product(Role::kAttnK, layer, x),
            Product(Role::kAttnV, layer, x)};
  }

  // What the state has, in the order of the beams, and `now` behind it: [batch, kv heads, total,
  // head].
  IrValue Remember(int layer, const char* what, IrValue now) {
    if (embeds_) return now;
    const std::string name = fmt::format("model.layers.{}.cache.{}", layer, what);
    const std::string id = fmt::format("past_key_values.{0}.{1}present.{0}.{1}", layer, what);
    const IrShape shape{kAnySize, h_.kv_heads, kAnySize, h_.head_dim};
    const IrValue empty =
        graph_.Add(kBroadcast, name + "/empty", {constants_.Float(0, 0), empty_cache_},
                   {{"mode", "numpy"}}, IrType::kF32, {kAnySize, h_.kv_heads, 0, h_.head_dim});
    const IrValue past = graph_.Add(
        {"ReadValue", "opset6"}, name + "/past", {empty},
        {{"variable_id", id}, {"variable_type", "f32"}, {"variable_shape", IrText(shape)}},
        IrType::kF32, shape);
    const IrValue ordered =
        graph_.Add(kGather, name + "/ordered", {past, beams_, constants_.Integer(0)},
                   {{"batch_dims", "0"}}, IrType::kF32, shape);
    const IrValue all = Concat(name + "/all", {ordered, now}, 2);
    graph_.Add({"Assign", "opset6"}, name + "/kept", {all}, {{"variable_id", id}}, IrType::kF32,
               shape);
    return all;
  }

  // Each kv head as often as q heads read it.
  IrValue Repeat(const std::string& name, IrValue x) {
    const int64_t times = h_.heads / h_.kv_heads;
    if (times == 1) return x;
    const IrValue apart = Unsqueeze(name + "/apart", x, {2});
    IrShape shape = graph_.ShapeOf(apart);
    shape[2] = times;
    const IrValue repeated =
        graph_.Add(kBroadcast, name + "/repeated", {apart, constants_.Vector({1, 1, times, 1, 1})},
                   {{"mode", "bidirectional"}}, IrType::kF32, shape);
    return Reshape(name + "/heads", repeated, {0, h_.heads, -1, h_.head_dim});
  }

  // [batch, heads, now, head].
  IrValue Attended(int layer, const std::string& name, IrValue q, IrValue keys, IrValue values) {
    const IrValue mask = masks_.at(AttentionWindow(h_, layer));
    if (h_.score_cap != 0) return AttendedWithCap(name, q, keys, values, mask);
    std::vector<IrValue> inputs{q, keys, values, mask};
    const bool sinks = weights_.Has(Role::kAttnSinks, layer);
    if (h_.attention_scale != 0 || sinks) inputs.push_back(constants_.Float(AttentionScale(h_), 0));
    if (sinks) inputs.push_back(weights_.Widened(Role::kAttnSinks, layer, constants_));
    return graph_.Add({"ScaledDotProductAttention", "opset13"}, name + "/attended", inputs,
                      {{"causal", "false"}}, IrType::kF32, graph_.ShapeOf(q));
  }

  // The same with each score capped, for which the operation has no input.
  IrValue AttendedWithCap(const std::string& name, IrValue q, IrValue keys, IrValue values,
                          IrValue mask) {
    const IrShape scores{kAnySize, h_.heads, kAnySize, kAnySize};
    const IrValue scaled =
        graph_.Elementwise(kMultiply, name + "/scaled", q, constants_.Float(AttentionScale(h_), 4));
    const IrValue products = MatMul(name + "/products", scaled, keys, true, scores);
    const IrValue capped = Capped(name + "/capped", products, h_.score_cap);
    const IrValue masked = graph_.Elementwise(kAdd, name + "/masked", capped, mask);
    const IrValue shares = graph_.Add({"Softmax", "opset8"}, name + "/shares", {masked},
                                      {{"axis", "-1"}}, IrType::kF32, scores);
    return MatMul(name + "/attended", shares, values, false, graph_.ShapeOf(q));
  }

  IrValue Attend(int layer, IrValue x) {
    const std::string name = fmt::format("model.layers.{}.self_attn", layer);
    const std::vector<IrValue> qkv = Qkv(layer, name, x);
    const IrValue q_heads = Heads(name + "/q", qkv[0], h_.heads);
    const IrValue q = Rotate(layer, name + "/q", NormalizeHeads(Role::kAttnQNorm, layer, q_heads));
    const IrValue k_heads = Heads(name + "/k", qkv[1], h_.kv_heads);
    const IrValue k = Rotate(layer, name + "/k", NormalizeHeads(Role::kAttnKNorm, layer, k_heads));
    const IrValue keys = Repeat(name + "/keys", Remember(layer, "key", k));
    const IrValue v = Heads(name + "/v", qkv[2], h_.kv_heads);
    const IrValue values = Repeat(name + "/values", Remember(layer, "value", v));
    const IrValue attended = Attended(layer, name, q, keys, values);
    const IrValue joined = Reshape(name + "/joined", SwapMiddle(name + "/turned", attended),
                                   {0, 0, h_.heads * h_.head_dim});
    return Product(Role::kAttnOutput, layer, joined);
  }

  IrValue Activate(const std::string& name, IrValue x) {
    const IrShape shape = graph_.ShapeOf(x);
    if (family_.activation == Activation::kGeluTanh)
      return graph_.Add({"Gelu", "opset7"}, name + "/gelu", {x}, {{"approximation_mode", "TANH"}},
                        IrType::kF32, shape);
    return graph_.Add({"Swish", "opset4"}, name + "/silu", {x}, {}, IrType::kF32, shape);
  }

  IrValue FeedForward(int layer, IrValue x) {
    const std::string name = fmt::format("model.layers.{}.mlp", layer);
    if (family_.experts) return experts_.Run(layer, name, x, Product(Role::kFfnRouter, layer, x));
    if (!weights_.Has(Role::kFfnGate, layer))
      return Product(Role::kFfnDown, layer, Activate(name, Product(Role::kFfnUp, layer, x)));
    std::vector<IrValue> parts;
    if (weights_.NameOf(Role::kFfnGate, layer) == weights_.NameOf(Role::kFfnUp, layer)) {
      parts = Split(name + "/gate_up", Product(Role::kFfnGate, layer, x),
                    {h_.intermediate, h_.intermediate});
    } else {
      parts = {Product(Role::kFfnGate, layer, x), Product(Role::kFfnUp, layer, x)};
    }
    const IrValue active = Activate(name, parts[0]);
    return Product(Role::kFfnDown, layer,
                   graph_.Elementwise(kMultiply, name + "/gated", active, parts[1]));
  }

  IrValue Layer(int layer, IrValue x) {
    const std::string name = fmt::format("model.layers.{}", layer);
    const IrValue normed = Normalize(Role::kAttnNorm, layer, x);
    const auto part = [&](const char* what, Role norm, IrValue added) {
      if (weights_.Has(norm, layer)) added = Normalize(norm, layer, added);
      return Scaled(fmt::format("{}.{}/scaled", name, what), added, h_.residual_scale);
    };
    x = graph_.Elementwise(kAdd, name + "/attended", x,
                           part("self_attn", Role::kAttnPostNorm, Attend(layer, normed)));
    if (family_.residual == Residual::kParallel)
      return graph_.Elementwise(kAdd, name + "/done", x,
                                part("mlp", Role::kFfnPostNorm, FeedForward(layer, normed)));
    return graph_.Elementwise(
        kAdd, name + "/done", x,
        part("mlp", Role::kFfnPostNorm, FeedForward(layer, Normalize(Role::kFfnNorm, layer, x))));
  }

  const bool embeds_;  // its hidden states are the result, and there is no cache
  OpenVinoExperts experts_;
  IrValue ids_, attention_mask_, positions_, beams_;
  IrValue total_, past_, empty_cache_;
  std::map<int64_t, IrValue> masks_;  // by window; 0: without one
  Angles angles_, sliding_angles_;
};

}  // namespace

void BuildOpenVinoDecoder(const ModelDescription& model, IrGraph& graph, OpenVinoWeights& weights,
                          IrConstants& constants) {
  Decoder(model, graph, weights, constants).Run();
}

}  // namespace quantfleet::pipeline
