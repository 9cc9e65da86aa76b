// The standard's operators alone: DequantizeLinear by blocks, norms and attention spelled out.
// Activations are F32.
#include <limits>
#include <map>
#include <set>

#include "pipeline/format/layout/attention_window.h"
#include "pipeline/format/onnx/onnx_operators.h"

namespace quantfleet::pipeline {
namespace {

constexpr int64_t kFirstAxis = 0, kLastAxis = -1;

class Standard final : public OnnxOperators {
 public:
  explicit Standard(const OnnxSite& site) : h_(site.hyper), graph_(site.graph), data_(site.data) {}

  // The places of keys are 0 to T - 1 and those of the step's S queries the last of them; a key is
  // seen from its own place on, unless the mask hides it. Positions, for the rotary embedding,
  // count what the mask does not hide.
  std::string Lengths() override {
    const std::string zero = Integer("attention/zero", 0), one = Integer("attention/one", 1);
    const std::string total = Length("attention/total", "attention_mask", one);
    const std::string first =
        Node("Sub", "attention/first", {total, Length("attention/step", "input_ids", one)});
    const std::string keys = Node("Range", "attention/keys", {zero, total, one});
    const std::string queries = Node("Range", "attention/queries", {first, total, one});
    const std::string column = Node("Unsqueeze", "attention/queries_column", {queries, Axis(1)});
    const std::string seen = Node("LessOrEqual", "attention/seen", {keys, column});
    std::map<int64_t, std::string> seen_by_window;
    for (int64_t layer = 0; layer < h_.layers; ++layer) {
      const int64_t window = AttentionWindow(h_, layer);
      if (!seen_by_window.contains(window))
        seen_by_window[window] = window > 0 ? InWindow(window, keys, column, seen) : seen;
    }
    const std::string real = Node("Cast", "attention/real", {"attention_mask"},
                                  {{"to", int64_t{onnx::TensorProto::BOOL}}});
    const std::string real_keys =
        Node("Unsqueeze", "attention/real_keys", {real, Integers("axis/1_2_3", {1, 2, 3})});
    for (const auto& [window, in_window] : seen_by_window)
      biases_[window] =
          Bias(biases_.empty() ? "attention" : "attention/window", in_window, real_keys);
    const std::string counted = Node("CumSum", "attention/counted", {"attention_mask", one});
    const std::string places = Node(
        "Max", "attention/places", {Node("Sub", "attention/counted_before", {counted, one}), zero});
    positions_ = Node("Gather", "attention/positions", {places, queries}, {{"axis", int64_t{1}}});
    return Node("Cast", "attention/total_sequence_length", {total},
                {{"to", int64_t{onnx::TensorProto::INT32}}});
  }

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

  // Queries are grouped by the keys that they share: [batch, kv heads, queries of each, step,
  // size].
  std::string Attend(const OnnxAttention& how, const std::string& qkv) override {
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
    const std::string shares =
        how.sinks.empty() ? Node("Softmax", name("shares"), {scores}, {{"axis", kLastAxis}})
                          : SharesBesideSinks(how, name("shares"), scores);
    const std::string attended = Node("MatMul", name("attended"), {shares, values});
    const std::string apart =
        Node("Reshape", name("apart"), {attended, Integers("shape/apart", {0, heads, -1, size})});
    const std::string by_step =
        Node("Transpose", name("by_step"), {apart}, {{"perm", std::vector<int64_t>{0, 2, 1, 3}}});
    return Node("Reshape", name("joined"),
                {by_step, Integers("shape/joined", {0, 0, heads * size})});
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

  // [batch, step, heads * size] to [batch, heads, step, size].
  std::string Heads(const std::string& x, const std::string& name, int64_t heads) {
    const std::string apart =
        Node("Reshape", name + "/apart", {x, Integers("shape/heads", {0, 0, heads, h_.head_dim})});
    return Node("Transpose", name, {apart}, {{"perm", std::vector<int64_t>{0, 2, 1, 3}}});
  }

  // So many keys, the query's own place among them, as GroupQueryAttention counts.
  std::string InWindow(int64_t window, const std::string& keys, const std::string& column,
                       const std::string& seen) {
    const std::string start =
        Node("Sub", "attention/window_start", {column, Integer("attention/window", window)});
    return Node("And", "attention/seen_in_window",
                {seen, Node("Greater", "attention/in_window", {keys, start})});
  }

  // Softmax over the scores and a head's sink, which takes its share along.
  std::string SharesBesideSinks(const OnnxAttention& how, const std::string& name,
                                const std::string& scores) {
    const int64_t kv = h_.kv_heads;
    const std::string sinks =
        Node("Reshape", name + "/sinks",
             {how.sinks, Integers("shape/sinks", {1, kv, h_.heads / kv, 1, 1})});
    const std::string last = Integers("axis/last", {kLastAxis});
    const std::string most =
        Node("Max", name + "/most", {Node("ReduceMax", name + "/greatest", {scores, last}), sinks});
    const auto above = [&](const char* what, const std::string& x) {
      return Node("Exp", name + what,
                  {Node("Sub", fmt::format("{}{}_below", name, what), {x, most})});
    };
    const std::string parts = above("/parts", scores);
    const std::string all =
        Node("Add", name + "/all",
             {Node("ReduceSum", name + "/sum", {parts, last}), above("/sink", sinks)});
    return Node("Div", name, {parts, all});
  }

  // Finite, so that a query that sees nothing, being padding, yields numbers.
  std::string Bias(const std::string& name, const std::string& seen, const std::string& real_keys) {
    const std::string visible = Node("And", name + "/visible", {seen, real_keys});
    return Node("Where", name + "/bias",
                {visible, Number("attention/nothing", 0.f),
                 Number("attention/hidden", std::numeric_limits<float>::lowest())});
  }

  // score_cap * tanh(x / score_cap)
  std::string Capped(const std::string& name, const std::string& x) {
    const std::string cap = Number("attention/cap", h_.score_cap);
    return Node("Mul", name,
                {Node("Tanh", name + "/bent", {Node("Div", name + "/narrowed", {x, cap})}), cap});
  }

  // Of the table, what this step's positions have.
  std::string Rows(const char* what, const char* tables) {
    const std::string name = fmt::format("rotary/{}{}", what, tables);
    if (!rows_.insert(name).second) return name;
    const std::string rows =
        Node("Gather", fmt::format("rotary/{}_rows{}", what, tables),
             {fmt::format("{}_cache{}", what, tables), positions_}, {{"axis", kFirstAxis}});
    return Node("Unsqueeze", name, {rows, Axis(1)});
  }

  // The first rope_dims of each head by halves; what follows them stays.
  std::string Rotate(const OnnxAttention& how, const std::string& x) {
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
    const auto times = [&](const char* what, const std::string& half_of_x,
                           const std::string& angle) {
      return Node("Mul", name(what), {half_of_x, angle});
    };
    std::vector<std::string> turned{
        Node("Sub", name("low_turned"), {times("low_cos", a, cos), times("high_sin", b, sin)}),
        Node("Add", name("high_turned"), {times("high_cos", b, cos), times("low_sin", a, sin)})};
    if (rest > 0) turned.push_back(still);
    return Node("Concat", name("turned"), std::move(turned), {{"axis", int64_t{3}}});
  }

  // The first part is called `name`.
  void Split(const std::string& name, const std::string& x, int64_t axis,
             const std::vector<int64_t>& sizes, std::vector<std::string> others) {
    std::string key = "sizes";
    for (const int64_t size : sizes) key += fmt::format("/{}", size);
    Node("Split", name, {x, Integers(std::move(key), sizes)}, {{"axis", axis}}, std::move(others));
  }

  // A size of the second axis, as a scalar.
  std::string Length(const std::string& name, const char* of, const std::string& one) {
    return Node("Gather", name, {Node("Shape", name + "_shape", {of}), one},
                {{"axis", kFirstAxis}});
  }

  std::string Node(const char* op, std::string name, std::vector<std::string> inputs,
                   std::vector<OnnxAttribute> attributes = {}, std::vector<std::string> more = {}) {
    return graph_.Node(op, std::move(name), std::move(inputs), std::move(attributes),
                       std::move(more));
  }

  // Constants, each once.
  std::string Integer(std::string name, int64_t value) {
    return data_.Has(name) ? name : graph_.Scalar(std::move(name), onnx::TensorProto::INT64, value);
  }
  std::string Integers(std::string name, const std::vector<int64_t>& values) {
    return data_.Has(name) ? name : graph_.Vector(std::move(name), values);
  }
  std::string Number(std::string name, float value) {
    return data_.Has(name) ? name : graph_.Number(std::move(name), value);
  }
  std::string Axis(int64_t axis) { return Integers(fmt::format("axis/{}", axis), {axis}); }

  const Hyperparameters& h_;
  OnnxGraph& graph_;
  OnnxData& data_;
  std::map<int64_t, std::string> biases_;  // by window
  std::string positions_;
  std::set<std::string> rows_;  // that are there
};

}  // namespace

std::unique_ptr<OnnxOperators> StandardOperators(const OnnxSite& site) {
  return std::make_unique<Standard>(site);
}

}  // namespace quantfleet::pipeline
