// Which experts a token goes through, and what each of them counts. In F32, whatever the graph's
// float type: of two scores that are close together the same one has to win.
#include <numeric>

#include "pipeline/format/onnx/onnx_experts.h"

namespace quantfleet::pipeline {

// `scores` are [tokens, experts], of the graph's float type.
OnnxExperts::Chosen OnnxExperts::Choose(const std::string& name, const std::string& scores) {
  const std::string wide = Cast(graph_, name + "/scores_wide", scores, float_, DType::kF32);
  const std::string experts = name + "/chosen",
                    best = graph_.Node("TopK", name + "/best",
                                       {wide, Integers("experts/used", {h_.experts_used})},
                                       {{"axis", int64_t{-1}}}, {experts});
  const auto narrowed = [&](const std::string& shares) {
    return Cast(graph_, name + "/shares_narrow", shares, DType::kF32, float_);
  };
  if (family_.experts->routing == Routing::kSoftmaxOfChosen)
    return {experts,
            narrowed(graph_.Node("Softmax", name + "/shares", {best}, {{"axis", int64_t{-1}}}))};
  const std::string second = name + "/second";
  const std::string first =
      graph_.Node("Split", name + "/first", {best},
                  {{"axis", int64_t{-1}}, {"num_outputs", int64_t{2}}}, {second});
  const std::string expert =
      graph_.Node("Gather", name + "/first_expert", {experts, Integers("experts/first", {0})},
                  {{"axis", int64_t{1}}});
  const std::string share = SparseMixerShare(name + "/first", wide, first, "");
  const std::string other_share = SparseMixerShare(name + "/second", wide, second, expert);
  return {experts, narrowed(graph_.Node("Concat", name + "/shares", {share, other_share},
                                        {{"axis", int64_t{-1}}}))};
}

// Softmax at `best` over the scores that come near it, without that of the expert `before`, unless
// that is empty: [tokens, 1].
std::string OnnxExperts::SparseMixerShare(const std::string& name, const std::string& scores,
                                          const std::string& best, const std::string& before) {
  const std::string size =
      graph_.Node("Max", name + "/size", {graph_.Node("Abs", name + "/abs", {scores}), best});
  const std::string behind = graph_.Node("Sub", name + "/behind", {best, scores});
  std::string out = graph_.Node("Greater", name + "/far",
                                {graph_.Node("Div", name + "/distance", {behind, size}),
                                 Number("experts/reach", kSparseMixerReach)});
  if (!before.empty()) {
    std::vector<int64_t> all(static_cast<size_t>(h_.experts));
    std::iota(all.begin(), all.end(), 0);
    out = graph_.Node(
        "Or", name + "/out",
        {out, graph_.Node("Equal", name + "/taken", {Integers("experts/numbers", all), before})});
  }
  const std::string part =
      graph_.Node("Exp", name + "/part", {graph_.Node("Neg", name + "/ahead", {behind})});
  const std::string kept =
      graph_.Node("Where", name + "/kept", {out, Number("experts/nothing", 0), part});
  const std::string sum =
      graph_.Node("ReduceSum", name + "/sum", {kept, Integers("experts/last", {-1})});
  return graph_.Node("Reciprocal", name + "/share", {sum});
}

// Scores of which softmax over the chosen ones is their shares, as far as these sum to 1; nobody
// else's come near.
std::string OnnxExperts::AsScores(const std::string& name, const std::string& scores,
                                  const Chosen& chosen) {
  const std::string shape = graph_.Node("Shape", name + "/scores_shape", {scores});
  const std::string low =
      graph_.Node("Expand", name + "/low", {Float("experts/low", -6e4f), shape});
  const std::string logs = graph_.Node("Log", name + "/logs", {chosen.shares});
  return graph_.Node("ScatterElements", name + "/as_scores", {low, chosen.experts, logs},
                     {{"axis", int64_t{1}}});
}

}  // namespace quantfleet::pipeline
