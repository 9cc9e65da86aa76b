#include "pipeline/format/openvino/openvino_experts.h"

#include <limits>
#include <numeric>

namespace quantfleet::pipeline {

IrValue OpenVinoExperts::Run(int layer, const std::string& name, IrValue x, IrValue scores) {
  const IrValue tokens = Reshape(name + "/tokens", x, {-1, h_.hidden});
  const IrValue rows = Reshape(name + "/scores", scores, {-1, h_.experts});
  const IrValue shares = Shares(name, rows);
  const IrValue mixed = Mixed(layer, name, tokens);
  // [experts, batch, now] of both.
  const IrValue sizes =
      graph_.Add(kShapeOf, name + "/sizes", {x}, {{"output_type", "i64"}}, IrType::kI64, {3});
  const IrValue batch = graph_.Add(kGather, name + "/batch",
                                   {sizes, constants_.Vector({0, 1}), constants_.Integer(0)},
                                   {{"batch_dims", "0"}}, IrType::kI64, {2});
  const IrValue experts = constants_.Vector({h_.experts});
  const auto by_batch = [&](const char* what, IrValue values, IrValue shape, const IrShape& is) {
    return graph_.Add(kReshape, name + what, {values, shape}, {{"special_zero", "false"}},
                      IrType::kF32, is);
  };
  const IrShape by_token{h_.experts, kAnySize, kAnySize};
  const IrValue share =
      Unsqueeze(name + "/shares_column",
                by_batch("/shares_by_batch", shares,
                         Concat(name + "/shares_shape", {experts, batch}, 0), by_token),
                {3});
  const IrValue shape =
      Concat(name + "/mixed_shape", {experts, batch, constants_.Vector({h_.hidden})}, 0);
  const IrValue apart =
      by_batch("/mixed_by_batch", mixed, shape, {h_.experts, kAnySize, kAnySize, h_.hidden});
  const IrValue weighed = graph_.Elementwise(kMultiply, name + "/weighed", apart, share);
  return graph_.Add({"ReduceSum", "opset1"}, name + "/added", {weighed, constants_.Vector({0})},
                    {{"keep_dims", "false"}}, IrType::kF32, {kAnySize, kAnySize, h_.hidden});
}

// Of every expert, 0 where it is not chosen: [experts, tokens].
IrValue OpenVinoExperts::Shares(const std::string& name, IrValue scores) {
  const Chosen chosen = Choose(name, scores);
  const IrShape shape = graph_.ShapeOf(scores);
  const IrValue sizes = graph_.Add(kShapeOf, name + "/scores_shape", {scores},
                                   {{"output_type", "i64"}}, IrType::kI64, {2});
  const IrValue none = graph_.Add(kBroadcast, name + "/none", {constants_.Float(0, 0), sizes},
                                  {{"mode", "numpy"}}, IrType::kF32, shape);
  const IrValue all = graph_.Add({"ScatterElementsUpdate", "opset3"}, name + "/all_shares",
                                 {none, chosen.experts, chosen.shares, constants_.Integer(1)}, {},
                                 IrType::kF32, shape);
  return graph_.Add(kTranspose, name + "/shares", {all, constants_.Vector({1, 0})}, {},
                    IrType::kF32, {shape[1], shape[0]});
}

OpenVinoExperts::Chosen OpenVinoExperts::Choose(const std::string& name, IrValue scores) {
  const IrShape used{kAnySize, h_.experts_used};
  const IrValue best = graph_.Add({"TopK", "opset11"}, name + "/chosen",
                                  {scores, constants_.Integer(h_.experts_used)},
                                  {{"axis", "-1"},
                                   {"mode", "max"},
                                   {"sort", "value"},
                                   {"index_element_type", "i64"},
                                   {"stable", "false"}},
                                  {{IrType::kF32, used}, {IrType::kI64, used}});
  const IrValue experts{best.layer, 1};
  if (family_.experts->routing == Routing::kSoftmaxOfChosen)
    return {experts, graph_.Add({"Softmax", "opset8"}, name + "/chosen_shares", {best},
                                {{"axis", "-1"}}, IrType::kF32, used)};
  const std::vector<IrValue> both = Split(name + "/both", best, {1, 1});
  const IrValue first = graph_.Add(kGather, name + "/first_expert",
                                   {experts, constants_.Vector({0}), constants_.Integer(1)},
                                   {{"batch_dims", "0"}}, IrType::kI64, {kAnySize, 1});
  const IrValue share = SparseMixerShare(name + "/first", scores, both[0], nullptr);
  const IrValue other = SparseMixerShare(name + "/second", scores, both[1], &first);
  return {experts, Concat(name + "/chosen_shares", {share, other}, 1)};
}

// Softmax at `best` over the scores that come near it, without that of the expert `before`:
// [tokens, 1].
IrValue OpenVinoExperts::SparseMixerShare(const std::string& name, IrValue scores, IrValue best,
                                          const IrValue* before) {
  const IrShape shape = graph_.ShapeOf(scores);
  const auto unary = [&](const char* op, const char* what, IrValue x) {
    return graph_.Add({op, "opset1"}, name + what, {x}, {}, IrType::kF32, shape);
  };
  const IrValue size =
      graph_.Elementwise({"Maximum", "opset1"}, name + "/size", unary("Abs", "/abs", scores), best);
  const IrValue ahead = graph_.Elementwise(kSubtract, name + "/ahead", scores, best);
  const IrValue distance =
      graph_.Add(kDivide, name + "/distance", {ahead, size},
                 {{"auto_broadcast", "numpy"}, {"m_pythondiv", "true"}}, IrType::kF32, shape);
  const IrValue reach = constants_.Float(-kSparseMixerReach, 0);
  IrValue far = Compare(kGreater, name + "/far", reach, distance);
  if (before != nullptr) {
    std::vector<int64_t> numbers(static_cast<size_t>(h_.experts));
    std::iota(numbers.begin(), numbers.end(), 0);
    const IrValue taken =
        Compare({"Equal", "opset1"}, name + "/taken", constants_.Vector(numbers), *before);
    far = Compare({"LogicalOr", "opset1"}, name + "/out", far, taken);
  }
  const IrValue part = unary("Exp", "/part", ahead);
  const IrValue kept = Select(name + "/kept", far, constants_.Float(0, 0), part);
  const IrValue sum =
      graph_.Add({"ReduceSum", "opset1"}, name + "/sum", {kept, constants_.Vector({-1})},
                 {{"keep_dims", "true"}}, IrType::kF32, {shape[0], 1});
  return graph_.Add(kDivide, name + "/share", {constants_.Float(1, 2), sum},
                    {{"auto_broadcast", "numpy"}, {"m_pythondiv", "true"}}, IrType::kF32,
                    {shape[0], 1});
}

IrValue OpenVinoExperts::Product(Role role, int layer, IrValue x) {
  const IrValue weight = weights_.Widened(role, layer, constants_);
  return MatMul(weights_.NameOf(role, layer) + "/product", x, weight, true,
                {h_.experts, kAnySize, graph_.ShapeOf(weight)[1]});
}

IrValue OpenVinoExperts::AddBias(Role role, int layer, IrValue product) {
  return graph_.Elementwise(kAdd, weights_.NameOf(role, layer) + "/added", product,
                            weights_.Widened(role, layer, constants_));
}

// What every expert makes of every token: [experts, tokens, hidden].
IrValue OpenVinoExperts::Mixed(int layer, const std::string& name, IrValue tokens) {
  const IrValue repeated = graph_.Add({"Tile", "opset1"}, name + "/repeated",
                                      {tokens, constants_.Vector({h_.experts, 1})}, {},
                                      IrType::kF32, {kAnySize, h_.hidden});
  const IrValue each = Reshape(name + "/each", repeated, {h_.experts, -1, h_.hidden});
  if (family_.activation == Activation::kClampedSwiglu) {
    const IrValue down = Product(Role::kFfnDownExpert, layer, GatedWithLimits(layer, name, each));
    return AddBias(Role::kFfnDownExpertBias, layer, down);
  }
  const IrValue gate = Product(Role::kFfnGateExpert, layer, each);
  const IrValue active = graph_.Add({"Swish", "opset4"}, name + "/silu", {gate}, {}, IrType::kF32,
                                    graph_.ShapeOf(gate));
  const IrValue up = Product(Role::kFfnUpExpert, layer, each);
  return Product(Role::kFfnDownExpert, layer,
                 graph_.Elementwise(kMultiply, name + "/gated", active, up));
}

// Gate and up are one product, cut in halves behind its bias. The cut names two axes: along one,
// OpenVINO would make a Split of it before it looks for experts, and not find them.
IrValue OpenVinoExperts::GatedWithLimits(int layer, const std::string& name, IrValue x) {
  const IrValue product = Product(Role::kFfnGateExpert, layer, x);
  const IrValue gate_bias = weights_.Widened(Role::kFfnGateExpertBias, layer, constants_);
  const IrValue up_bias = weights_.Widened(Role::kFfnUpExpertBias, layer, constants_);
  const IrValue bias = Concat(name + "/gate_up_bias", {gate_bias, up_bias}, 2);
  const IrValue both = graph_.Elementwise(kAdd, name + "/gate_up", product, bias);
  const IrShape shape{h_.experts, kAnySize, h_.expert_width};
  const auto half = [&](const char* what, int64_t from) {
    return graph_.Add(
        {"Slice", "opset8"}, name + what,
        {both, constants_.Vector({0, from}),
         constants_.Vector({std::numeric_limits<int64_t>::max(), from + h_.expert_width}),
         constants_.Vector({1, 1}), constants_.Vector({1, 2})},
        {}, IrType::kF32, shape);
  };
  const IrValue all_of_gate = half("/gate", 0);
  const IrValue gate = graph_.Elementwise({"Minimum", "opset1"}, name + "/gate_limited",
                                          all_of_gate, constants_.Float(kSwigluLimit, 1));
  const IrValue active =
      graph_.Add({"Swish", "opset4"}, name + "/silu", {gate, constants_.Float(kSwigluSlope, 0)}, {},
                 IrType::kF32, shape);
  const std::string limit = fmt::format("{}", kSwigluLimit);
  const IrValue up =
      graph_.Add({"Clamp", "opset1"}, name + "/up_limited", {half("/up", h_.expert_width)},
                 {{"min", "-" + limit}, {"max", limit}}, IrType::kF32, shape);
  const IrValue one_more =
      graph_.Elementwise(kAdd, name + "/up_and_one", up, constants_.Float(1, 1));
  return graph_.Elementwise(kMultiply, name + "/gated", one_more, active);
}

}  // namespace quantfleet::pipeline
