#include "pipeline/format/onnx/standard_attention.h"

#include <limits>

#include "pipeline/format/layout/attention_window.h"

namespace quantfleet::pipeline {
namespace {

// What is added to the score of a key that is hidden. It is finite, so that a query that sees
// nothing, being padding, yields numbers; of F16, no score that is added to it makes it infinite.
float HiddenBias(DType type) {
  return type == DType::kF16 ? -32752.f : std::numeric_limits<float>::lowest();
}

}  // namespace

// The places of keys are 0 to T - 1 and those of the step's S queries the last of them; a key is
// seen from its own place on, unless the mask hides it. Positions, for the rotary embedding, count
// what the mask does not hide.
std::string StandardAttention::Lengths() {
  const std::string zero = Integer("attention/zero", 0), one = Integer("attention/one", 1);
  const std::string total = Length("attention/total", "attention_mask", one);
  std::string keys, queries;
  std::map<int64_t, std::string> seen_by_window;
  if (kind_.cached) {
    const std::string first =
        Node("Sub", "attention/first", {total, Length("attention/step", "input_ids", one)});
    keys = Node("Range", "attention/keys", {zero, total, one});
    queries = Node("Range", "attention/queries", {first, total, one});
  } else if (kind_.causal) {
    keys = queries = Node("Range", "attention/keys", {zero, total, one});
  }
  if (kind_.causal) {
    const std::string column = Node("Unsqueeze", "attention/queries_column", {queries, Axis(1)});
    const std::string seen = Node("LessOrEqual", "attention/seen", {keys, column});
    for (int64_t layer = 0; layer < h_.layers; ++layer) {
      const int64_t window = AttentionWindow(h_, layer);
      if (!seen_by_window.contains(window))
        seen_by_window[window] = window > 0 ? InWindow(window, keys, column, seen) : seen;
    }
  }
  const std::string real = Node("Cast", "attention/real", {"attention_mask"},
                                {{"to", int64_t{onnx::TensorProto::BOOL}}});
  const std::string real_keys =
      Node("Unsqueeze", "attention/real_keys", {real, Integers("axis/1_2_3", {1, 2, 3})});
  for (const auto& [window, in_window] : seen_by_window) {
    const std::string name = biases_.empty() ? "attention" : "attention/window";
    biases_[window] = Bias(name, Node("And", name + "/visible", {in_window, real_keys}));
  }
  if (!kind_.causal) biases_[0] = Bias("attention", real_keys);
  const std::string counted = Node("CumSum", "attention/counted", {"attention_mask", one});
  positions_ = Node("Max", "attention/places",
                    {Node("Sub", "attention/counted_before", {counted, one}), zero});
  if (kind_.cached)
    positions_ =
        Node("Gather", "attention/positions", {positions_, queries}, {{"axis", int64_t{1}}});
  return Node("Cast", "attention/total_sequence_length", {total},
              {{"to", int64_t{onnx::TensorProto::INT32}}});
}

// Queries are grouped by the keys that they share: [batch, kv heads, queries of each, step, size].
std::string StandardAttention::Attend(const OnnxAttention& how, const std::string& qkv) {
  const int layer = how.layer;
  const int64_t heads = h_.heads, kv = h_.kv_heads, size = h_.head_dim;
  const auto name = [&](const char* what) {
    return fmt::format("model.layers.{}.attention/{}", layer, what);
  };
  const std::string all = Heads(qkv, name("all"), heads + 2 * kv);
  const std::string turning = name("turning"), value = name("value"), query = name("query"),
                    key = name("key");
  Split(turning, all, 1, {heads + kv, kv}, {value});
  Split(query, how.tables ? Rotate(how, turning) : turning, 1, {heads, kv}, {key});
  const auto grown = [&](const char* what, const std::string& now) {
    if (!kind_.cached) return now;
    return Node("Concat", fmt::format("present.{}.{}", layer, what),
                {fmt::format("past_key_values.{}.{}", layer, what), now}, {{"axis", int64_t{2}}});
  };
  const std::string keys = Node("Unsqueeze", name("keys"), {grown("key", key), Axis(2)});
  const std::string values = Node("Unsqueeze", name("values"), {grown("value", value), Axis(2)});
  const std::string scaled =
      Node("Mul", name("scaled"), {query, Number("attention/scale", AttentionScale(h_))});
  const std::string grouped =
      Node("Reshape", name("grouped"),
           {scaled, Integers("shape/grouped", {0, kv, heads / kv, -1, size})});
  const std::string turned = Node("Transpose", name("keys_turned"), {keys},
                                  {{"perm", std::vector<int64_t>{0, 1, 2, 4, 3}}});
  const std::string products = Node("MatMul", name("products"), {grouped, turned});
  const std::string capped = h_.score_cap != 0 ? Capped(name("capped"), products) : products;
  const std::string scores = Node("Add", name("scores"), {capped, biases_.at(how.window)});
  const std::string shares = how.sinks.empty()
                                 ? Node("Softmax", name("shares"), {scores}, {{"axis", kLastAxis}})
                                 : SharesBesideSinks(how, name("shares"), scores);
  const std::string attended = Node("MatMul", name("attended"), {shares, values});
  const std::string apart =
      Node("Reshape", name("apart"), {attended, Integers("shape/apart", {0, heads, -1, size})});
  const std::string by_step =
      Node("Transpose", name("by_step"), {apart}, {{"perm", std::vector<int64_t>{0, 2, 1, 3}}});
  return Node("Reshape", name("joined"), {by_step, Integers("shape/joined", {0, 0, heads * size})});
}

// [batch, step, heads * size] to [batch, heads, step, size].
std::string StandardAttention::Heads(const std::string& x, const std::string& name, int64_t heads) {
  const std::string apart =
      Node("Reshape", name + "/apart", {x, Integers("shape/heads", {0, 0, heads, h_.head_dim})});
  return Node("Transpose", name, {apart}, {{"perm", std::vector<int64_t>{0, 2, 1, 3}}});
}

// So many keys, the query's own place among them, as GroupQueryAttention counts.
std::string StandardAttention::InWindow(int64_t window, const std::string& keys,
                                        const std::string& column, const std::string& seen) {
  const std::string start =
      Node("Sub", "attention/window_start", {column, Integer("attention/window", window)});
  return Node("And", "attention/seen_in_window",
              {seen, Node("Greater", "attention/in_window", {keys, start})});
}

std::string StandardAttention::Bias(const std::string& name, const std::string& visible) {
  return Node("Where", name + "/bias",
              {visible, Number("attention/nothing", 0.f),
               Number("attention/hidden", HiddenBias(kind_.type))});
}

// Softmax over the scores and a head's sink, which takes its share along.
std::string StandardAttention::SharesBesideSinks(const OnnxAttention& how, const std::string& name,
                                                 const std::string& scores) {
  const int64_t kv = h_.kv_heads;
  const std::string sinks =
      Node("Reshape", name + "/sinks",
           {how.sinks, Integers("shape/sinks", {1, kv, h_.heads / kv, 1, 1})});
  const std::string last = Integers("axis/last", {kLastAxis});
  const std::string most =
      Node("Max", name + "/most", {Node("ReduceMax", name + "/greatest", {scores, last}), sinks});
  const auto part = [&](const char* what, const std::string& x) {
    return Node("Exp", name + what,
                {Node("Sub", fmt::format("{}{}_below", name, what), {x, most})});
  };
  const std::string parts = part("/parts", scores);
  const std::string all =
      Node("Add", name + "/all",
           {Node("ReduceSum", name + "/sum", {parts, last}), part("/sink", sinks)});
  return Node("Div", name, {parts, all});
}

// score_cap * tanh(x / score_cap)
std::string StandardAttention::Capped(const std::string& name, const std::string& x) {
  const std::string cap = Number("attention/cap", h_.score_cap);
  return Node("Mul", name,
              {Node("Tanh", name + "/bent", {Node("Div", name + "/narrowed", {x, cap})}), cap});
}

// Of the table, what this step's positions have.
std::string StandardAttention::Rows(const char* what, const char* tables) {
  const std::string name = fmt::format("rotary/{}{}", what, tables);
  if (!rows_.insert(name).second) return name;
  const std::string rows =
      Node("Gather", fmt::format("rotary/{}_rows{}", what, tables),
           {fmt::format("{}_cache{}", what, tables), positions_}, {{"axis", kFirstAxis}});
  return Node("Unsqueeze", name, {rows, Axis(1)});
}

// The first rope_dims of each head by halves; what follows them stays.
std::string StandardAttention::Rotate(const OnnxAttention& how, const std::string& x) {
  const auto name = [&](const char* what) {
    return fmt::format("model.layers.{}.rotary/{}", how.layer, what);
  };
  const std::string cos = Rows("cos", how.tables), sin = Rows("sin", how.tables);
  const int64_t half = h_.rope_dims / 2, rest = h_.head_dim - h_.rope_dims;
  const std::string a = name("low"), b = name("high"), still = name("still");
  if (rest > 0) {
    Split(a, x, 3, {half, half, rest}, {b, still});
  } else {
    Split(a, x, 3, {half, half}, {b});
  }
  const auto times = [&](const char* what, const std::string& half_of_x, const std::string& angle) {
    return Node("Mul", name(what), {half_of_x, angle});
  };
  std::vector<std::string> turned{
      Node("Sub", name("low_turned"), {times("low_cos", a, cos), times("high_sin", b, sin)}),
      Node("Add", name("high_turned"), {times("high_cos", b, cos), times("low_sin", a, sin)})};
  if (rest > 0) turned.push_back(still);
  return Node("Concat", name("turned"), std::move(turned), {{"axis", int64_t{3}}});
}

// The first part is called `name`.
void StandardAttention::Split(const std::string& name, const std::string& x, int64_t axis,
                              const std::vector<int64_t>& sizes, std::vector<std::string> others) {
  std::string key = "sizes";
  for (const int64_t size : sizes) key += fmt::format("/{}", size);
  Node("Split", name, {x, Integers(std::move(key), sizes)}, {{"axis", axis}}, std::move(others));
}

// A size of the second axis, as a scalar.
std::string StandardAttention::Length(const std::string& name, const char* of,
                                      const std::string& one) {
  return Node("Gather", name, {Node("Shape", name + "_shape", {of}), one}, {{"axis", kFirstAxis}});
}

std::string StandardAttention::Node(const char* op, std::string name,
                                    std::vector<std::string> inputs,
                                    std::vector<OnnxAttribute> attributes,
                                    std::vector<std::string> more) {
  return graph_.Node(op, std::move(name), std::move(inputs), std::move(attributes),
                     std::move(more));
}

std::string StandardAttention::Integer(std::string name, int64_t value) {
  return data_.Has(name) ? name : graph_.Scalar(std::move(name), onnx::TensorProto::INT64, value);
}

std::string StandardAttention::Integers(std::string name, const std::vector<int64_t>& values) {
  return data_.Has(name) ? name : graph_.Vector(std::move(name), values);
}

std::string StandardAttention::Number(std::string name, float value) {
  return data_.Has(name) ? name : graph_.Number(std::move(name), value, kind_.type);
}

std::string StandardAttention::Axis(int64_t axis) {
  return Integers(fmt::format("axis/{}", axis), {axis});
}

}  // namespace quantfleet::pipeline
