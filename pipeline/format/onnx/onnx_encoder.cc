#include "pipeline/format/onnx/onnx_encoder.h"

#include "pipeline/format/onnx/embedding_graph.h"
#include "pipeline/format/onnx/standard_attention.h"

namespace quantfleet::pipeline {
namespace {

class Encoder : OnnxLayers {
 public:
  Encoder(const OnnxParts& parts, onnx::GraphProto& graph, OnnxData& data)
      : OnnxLayers(parts, graph, data),
        attention_(h_, graph_, data_, {.causal = false, .type = float_}),
        pooling_(parts.model.embedding->pooling) {}

  void Run() {
    AddEmbeddingInputs({"input_ids", "attention_mask", "token_type_ids"}, graph_);
    attention_.Lengths();
    std::string x = Embedding();
    for (int layer = 0; layer < static_cast<int>(h_.layers); ++layer) x = Layer(layer, x);
    AddVectors(pooling_, x, float_, h_.hidden, graph_);
  }

 private:
  // The rows of a table that is added to the tokens' embedding.
  std::string Added(Role role, const char* name, const std::string& ids) {
    const OnnxTensor& t = *Tensor(role, -1);
    const std::string rows = graph_.Node("Gather", fmt::format("{}/rows", name), {Stored(t), ids},
                                         {{"axis", int64_t{0}}});
    return ToFloat(t, name, rows);
  }

  std::string Embedding() {
    const std::string words = Looked();
    const std::string types =
        graph_.Node("Add", "embedding/typed",
                    {words, Added(Role::kTokenTypes, "embedding/types", "token_type_ids")});
    return Normalize(Role::kEmbeddingNorm, -1, types,
                     Added(Role::kPositionEmbedding, "embedding/positions", attention_.positions()),
                     nullptr);
  }

  std::string Layer(int layer, const std::string& x) {
    const std::string attended =
        attention_.Attend({layer, nullptr, 0}, Product(Role::kAttnQ, layer, x));
    const std::string after = Normalize(Role::kAttnOutputNorm, layer,
                                        Product(Role::kAttnOutput, layer, attended), x, nullptr);
    const std::string wide =
        graph_.Node("Gelu", fmt::format("encoder.layer.{}.intermediate/gelu", layer),
                    {Product(Role::kFfnUp, layer, after)});
    return Normalize(Role::kLayerOutputNorm, layer, Product(Role::kFfnDown, layer, wide), after,
                     nullptr);
  }

  StandardAttention attention_;
  const Pooling pooling_;
};

}  // namespace

void BuildEncoder(const OnnxParts& parts, onnx::GraphProto& graph, OnnxData& data) {
  Encoder(parts, graph, data).Run();
}

}  // namespace quantfleet::pipeline
