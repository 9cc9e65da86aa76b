#include "pipeline/format/onnx/qnn_attention.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "pipeline/format/layout/attention_window.h"
#include "pipeline/format/onnx/rope_tables.h"
#include "pipeline/model/rope.h"

namespace quantfleet::pipeline {
namespace {

// Bits of the cache and of all else here. Of the two that are multiplied one has to have eight.
constexpr int kCacheBits = 8, kWideBits = 16;
// How far below all scores those of hidden positions are: e^-20 of a share is none.
constexpr float kHidden = 20;

float Largest(const ValueRange& range) {
  return std::max(std::fabs(range.low), std::fabs(range.high));
}
ValueRange Around(float largest) { return {-largest, largest}; }
ValueRange Over(const ValueRange& range, float by) { return {range.low / by, range.high / by}; }

// The tables of a context that is known: of LongRoPE's two sets the one that it asks for.
RopeTables TablesFor(const Hyperparameters& h, int64_t context) {
  const RopeScaling& rope = h.rope_scaling;
  if (rope.kind == RopeScaling::Kind::kLongRope)
    return MakeRopeTables(
        h, context, Wide(context > h.original_context ? rope.long_factors : rope.short_factors), 1,
        rope.attention_factor.value_or(1.f));
  return MakeRopeTables(h, context,
                        rope.kind == RopeScaling::Kind::kYarn ? YarnFrequencyFactors(h)
                                                              : Wide(Llama3FrequencyFactors(h)),
                        rope.kind == RopeScaling::Kind::kLinear ? rope.factor : 1.0,
                        YarnMagnitude(h));
}

}  // namespace

QnnValue QnnRmsNorm(QnnGraph& graph, const std::string& of, const QnnValue& x,
                    const std::vector<float>& weight, const ValueRange& range) {
  const auto width = static_cast<int64_t>(weight.size());
  std::vector<float> scaled = weight;
  for (float& w : scaled) w *= std::sqrt(static_cast<float>(width));
  const QnnValue by = graph.Constant(of, {width}, scaled, kWideBits);
  const QnnValue unit = graph.Op("LpNormalization", of + "/unit", {x.name},
                                 {{"axis", kLastAxis}, {"p", int64_t{2}}}, {{-1, 1}, kWideBits});
  return graph.Op("Mul", of + "/normed", {unit.name, by.name}, {}, {range, kWideBits});
}

QnnValue QnnCapped(QnnGraph& graph, const std::string& name, const QnnValue& x, float cap) {
  const auto times = [&](const char* what, const QnnValue& of, float factor,
                         const ValueRange& range) {
    const QnnValue by = graph.Constant(name + what + "/factor", {1}, {factor}, kWideBits);
    return graph.Op("Mul", name + what, {of.name, by.name}, {}, {range, kWideBits});
  };
  const QnnValue narrowed = times("/narrowed", x, 1 / cap, Over(x.as.range, cap));
  const QnnValue bent = graph.Op("Tanh", name + "/bent", {narrowed.name}, {}, {{-1, 1}, kWideBits});
  return times("/capped", bent, cap, Around(cap));
}

QnnAttention::QnnAttention(const QnnParts& parts, int64_t tokens, QnnGraph& graph)
    : parts_(parts),
      h_(parts.model.hyper),
      tokens_(tokens),
      context_(parts.context),
      graph_(graph) {}

void QnnAttention::AddAngles(const std::string& behind, const Hyperparameters& h) {
  const RopeTables tables = TablesFor(h, context_);
  const auto rows = [&](const char* what, const std::vector<float>& values) {
    const std::string name = what + behind;
    const QnnValue all =
        graph_.Constant(name + "_table", {context_, h_.rope_dims / 2}, values, kWideBits);
    return graph_.Move("Gather", name, all, {queries_}, {{"axis", kFirstAxis}});
  };
  angles_.emplace(behind, Angles{rows("cos", tables.cos), rows("sin", tables.sin)});
}

void QnnAttention::Places() {
  OnnxGraph& graph = graph_.plain;
  const auto number = [&](const char* name, int64_t value) {
    return graph.Scalar(name, onnx::TensorProto::INT32, value);
  };
  const auto count = [&](const char* name, int64_t size) {
    std::vector<int32_t> values(static_cast<size_t>(size));
    std::iota(values.begin(), values.end(), 0);
    return graph.Numbers32(name, {size}, values);
  };
  const std::string last =
      graph.Node("Reshape", "places/last", {"past_seq_len", graph_.Integers("shape/1", {1})});
  const std::string first =
      graph.Node("Sub", "places/first", {last, number("places/before", tokens_ - 1)});
  keys_ = count("places/keys", context_);
  queries_ = graph.Node("Add", "places/queries", {first, count("places/step", tokens_)});
  column_ = graph.Node("Reshape", "places/column", {queries_, Shape({tokens_, 1})});
  const std::string from = graph.Node("GreaterOrEqual", "places/from", {keys_, first}),
                    to = graph.Node("LessOrEqual", "places/to", {keys_, last});
  is_new_ = graph.Node("Reshape", "places/is_new",
                       {graph.Node("And", "places/new", {from, to}), Shape({context_, 1})});
  if (tokens_ > 1) {
    const std::string behind = graph.Node("Sub", "places/behind", {keys_, first});
    place_ =
        graph.Node("Max", "places/taken",
                   {graph.Node("Min", "places/below", {behind, number("places/most", tokens_ - 1)}),
                    number("places/zero", 0)});
  }
  AddAngles("", h_);
  if (h_.sliding_rope_theta != 0) AddAngles(kSliding, AsSlidingLayersTurn(h_));
}

std::string QnnAttention::Shape(const std::vector<int64_t>& dims) {
  std::string name = "shape";
  for (const int64_t dim : dims) name += fmt::format("/{}", dim);
  return graph_.Integers(std::move(name), dims);
}

// Of keys, by the step's tokens: [tokens, context].
std::string QnnAttention::Seen(int64_t window) {
  OnnxGraph& graph = graph_.plain;
  const std::string name = fmt::format("places/seen_{}", window);
  if (!seen_.insert(window).second) return name;
  if (window <= 0) return graph.Node("LessOrEqual", name, {keys_, column_});
  const std::string start =
      graph.Node("Sub", name + "/start",
                 {column_, graph.Scalar(name + "/size", onnx::TensorProto::INT32, window)});
  return graph.Node("And", name,
                    {graph.Node("LessOrEqual", name + "/before", {keys_, column_}),
                     graph.Node("Greater", name + "/within", {keys_, start})});
}

QnnValue QnnAttention::Heads(const std::string& name, const QnnValue& x, bool queries) {
  const int64_t kv = h_.kv_heads, each = h_.heads / kv, size = h_.head_dim;
  const QnnValue wide = graph_.Convert(x, {x.as.range, kWideBits});
  const QnnValue apart =
      graph_.Move("Reshape", name + "/apart", wide,
                  {queries ? Shape({tokens_, kv, each, size}) : Shape({tokens_, kv, size})});
  return graph_.Move(
      "Transpose", name + "/heads", apart, {},
      {{"perm", queries ? std::vector<int64_t>{1, 2, 0, 3} : std::vector<int64_t>{1, 0, 2}}});
}

// The first rope_dims of each head by halves; what follows them stays.
QnnValue QnnAttention::Rotate(const std::string& name, int layer, const QnnValue& x,
                              const ValueRange& range) {
  const bool slides = h_.sliding_rope_theta != 0 && WindowOf(h_, layer) > 0;
  const Angles& by = angles_.at(slides ? kSliding : "");
  const int64_t half = h_.rope_dims / 2, rest = h_.head_dim - h_.rope_dims;
  std::vector<int64_t> sizes{half, half};
  if (rest > 0) sizes.push_back(rest);
  const std::vector<QnnValue> parts = graph_.Split(name + "/parts", x, sizes);
  const QnnScale turned{range, kWideBits};
  const auto times = [&](const char* what, const QnnValue& part, const QnnValue& angle) {
    const float largest = Largest(x.as.range) * Largest(angle.as.range);
    return graph_.Op("Mul", name + what, {part.name, angle.name}, {}, {Around(largest), kWideBits});
  };
  const QnnValue low = graph_.Op("Sub", name + "/low",
                                 {times("/low_cos", parts[0], by.cos).name,
                                  times("/high_sin", parts[1], by.sin).name},
                                 {}, turned),
                 high = graph_.Op("Add", name + "/high",
                                  {times("/high_cos", parts[1], by.cos).name,
                                   times("/low_sin", parts[0], by.sin).name},
                                  {}, turned);
  std::vector<std::string> all{low.name, high.name};
  if (rest > 0) all.push_back(graph_.Convert(parts[2], turned).name);
  return graph_.Op("Concat", name, std::move(all), {{"axis", kLastAxis}}, turned);
}

// Rows of the step take their places; in place of those of a single token stands it alone.
QnnValue QnnAttention::Present(int layer, const char* what, const QnnValue& now) {
  const std::string name = fmt::format("model.layers.{}.attention/{}", layer, what);
  const QnnValue past =
      graph_.Decode(name + "/past", fmt::format("past_key_values.{}.{}", layer, what), now.as);
  const QnnValue placed =
      tokens_ == 1 ? now
                   : graph_.Move("Gather", name + "/placed", now, {place_}, {{"axis", int64_t{2}}});
  const std::string present =
      graph_.plain.Node("Where", name + "/present", {is_new_, placed.name, past.name});
  return graph_.Quantize(name + "/cache", present, now.as,
                         fmt::format("present.{}.{}", layer, what));
}

// Of [1, kv heads, queries of each * tokens, context], as [kv heads, queries of each, tokens,
// context]; what a token does not see is so low that softmax has nothing of it.
QnnValue QnnAttention::Scores(const Layer& how, const QnnValue& q, const QnnValue& keys) {
  const std::string name = fmt::format("model.layers.{}.attention/scores", how.layer);
  const int64_t kv = h_.kv_heads, each = h_.heads / kv;
  const auto hiding = [](const ValueRange& range) {
    return QnnScale{{std::min(range.low, 0.f) - kHidden, range.high}, kWideBits};
  };
  const bool capped = h_.score_cap != 0;
  QnnValue scores = graph_.Op("MatMul", name + "/products", {q.name, keys.name}, {},
                              capped ? QnnScale{how.scores, kWideBits} : hiding(how.scores));
  if (capped) scores = QnnCapped(graph_, name, scores, h_.score_cap);
  const QnnScale as = capped ? hiding(scores.as.range) : scores.as;
  const QnnValue apart =
      graph_.Move("Reshape", name + "/apart", scores, {Shape({kv, each, tokens_, context_})});
  return graph_.Op(
      "Where", name,
      {Seen(AttentionWindow(h_, how.layer)), apart.name, graph_.Lowest(name + "/hidden", as).name},
      {}, as);
}

QnnValue QnnAttention::Attend(const Layer& how, const QnnValue& q, const QnnValue& k,
                              const QnnValue& v) {
  const int64_t kv = h_.kv_heads, each = h_.heads / kv, size = h_.head_dim;
  const auto name = [&](const char* what) {
    return fmt::format("model.layers.{}.attention/{}", how.layer, what);
  };
  // What queries are measured with beside what they are multiplied by.
  const float root = std::sqrt(static_cast<float>(size)), scale = AttentionScale(h_);
  const bool turns = TurnsLayer(*parts_.model.family, how.layer);
  const auto turned = [&](const char* what, QnnValue x, const std::vector<float>* norm,
                          const ValueRange& range) {
    // Turning changes no pair's length.
    constexpr float kDiagonal = 1.4143f;
    if (norm != nullptr)
      x = QnnRmsNorm(graph_, name(what) + "/norm", x, *norm,
                     turns ? Around(kDiagonal * Largest(range)) : range);
    return turns ? Rotate(name(what) + "/turned", how.layer, x, range) : x;
  };
  QnnValue queries = turned("query", Heads(name("query"), q, true), how.query_norm,
                            Over(how.turned_queries, scale * root));
  if (scale != 1) {
    const QnnValue by = graph_.Constant("attention_scale", {1}, {scale}, kWideBits);
    queries = graph_.Op("Mul", name("query/scaled"), {queries.name, by.name}, {},
                        {Over(how.turned_queries, root), kWideBits});
  }
  queries = graph_.Move("Reshape", name("query/grouped"), queries,
                        {Shape({1, kv, each * tokens_, size})});
  const auto cached = [&](const char* what, const QnnValue& x) {
    const QnnValue apart =
        graph_.Move("Reshape", name(what) + "/step", x, {Shape({1, kv, tokens_, size})});
    return Present(how.layer, what, graph_.Convert(apart, {x.as.range, kCacheBits}));
  };
  const QnnValue keys =
      cached("key", turned("key", Heads(name("key"), k, false), how.key_norm, how.turned_keys));
  const QnnValue values = cached("value", Heads(name("value"), v, false));
  const QnnValue across = graph_.Move("Transpose", name("keys_across"), keys, {},
                                      {{"perm", std::vector<int64_t>{0, 1, 3, 2}}});
  const QnnValue scores = Scores(how, queries, across);
  const QnnValue shares = graph_.Op("Softmax", name("shares"), {scores.name}, {{"axis", kLastAxis}},
                                    {{0, 1}, kWideBits});
  const QnnValue together = graph_.Move("Reshape", name("shares/together"), shares,
                                        {Shape({1, kv, each * tokens_, context_})});
  const QnnValue attended = graph_.Op("MatMul", name("attended"), {together.name, values.name}, {},
                                      {how.attended, kWideBits});
  const QnnValue apart =
      graph_.Move("Reshape", name("attended/apart"), attended, {Shape({kv, each, tokens_, size})});
  const QnnValue by_token = graph_.Move("Transpose", name("attended/by_token"), apart, {},
                                        {{"perm", std::vector<int64_t>{2, 0, 1, 3}}});
  return graph_.Move("Reshape", name("joined"), by_token, {Shape({tokens_, h_.heads * size})});
}

}  // namespace quantfleet::pipeline
