#include "pipeline/format/onnx/embedding_graph.h"

#include "onnx/onnx.pb.h"

namespace quantfleet::pipeline {
namespace {

constexpr int kFloat = onnx::TensorProto::FLOAT;

// A vector of each text that points where the mean of its tokens' states does, [texts, hidden].
std::string Sum(const std::string& states, OnnxGraph& graph) {
  const std::string mask =
      graph.Node("Cast", "pooling/mask", {"attention_mask"}, {{"to", int64_t{kFloat}}});
  const std::string column =
      graph.Node("Unsqueeze", "pooling/column", {mask, graph.Vector("pooling/last_axis", {2})});
  const std::string real = graph.Node("Mul", "pooling/real", {states, column});
  return graph.Node("ReduceSum", "pooling/sum", {real, graph.Vector("pooling/tokens_axis", {1})},
                    {{"keepdims", int64_t{0}}});
}

// The state of each text's first or last token, [texts, hidden].
std::string One(bool last, const std::string& states, OnnxGraph& graph) {
  const std::string mask = graph.Node("Cast", "pooling/mask", {"attention_mask"},
                                      {{"to", int64_t{onnx::TensorProto::INT32}}});
  const std::string at = graph.Node(
      "ArgMax", "pooling/at", {mask},
      {{"axis", int64_t{1}}, {"keepdims", int64_t{1}}, {"select_last_index", int64_t{last}}});
  return graph.Node("GatherND", "pooling/state", {states, at}, {{"batch_dims", int64_t{1}}});
}

}  // namespace

void AddEmbeddingInputs(std::initializer_list<const char*> names, OnnxGraph& graph) {
  for (const char* name : names)
    graph.Input(name, onnx::TensorProto::INT64, {"batch_size", "sequence_length"});
}

void AddVectors(Pooling pooling, const std::string& states, DType type, int64_t hidden,
                OnnxGraph& graph) {
  graph.Output("last_hidden_state", kFloat, {"batch_size", "sequence_length", hidden});
  graph.Output("sentence_embedding", kFloat, {"batch_size", hidden});
  const std::string wide =
      type == DType::kF32
          ? graph.Node("Identity", "last_hidden_state", {states})
          : graph.Node("Cast", "last_hidden_state", {states}, {{"to", int64_t{kFloat}}});
  const std::string pooled =
      pooling == Pooling::kMean ? Sum(wide, graph) : One(pooling == Pooling::kLast, wide, graph);
  const std::string length =
      graph.Node("ReduceL2", "pooling/length", {pooled, graph.Vector("pooling/hidden_axis", {1})},
                 {{"keepdims", int64_t{1}}});
  const std::string not_zero =
      graph.Node("Max", "pooling/not_zero", {length, graph.Number("pooling/least", 1e-12f)});
  graph.Node("Div", "sentence_embedding", {pooled, not_zero});
}

}  // namespace quantfleet::pipeline
