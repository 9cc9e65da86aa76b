#include "pipeline/format/openvino/openvino_encoder.h"

#include "pipeline/format/openvino/openvino_layers.h"

namespace quantfleet::pipeline {
namespace {

class Encoder : OpenVinoLayers {
 public:
  using OpenVinoLayers::OpenVinoLayers;

  void Run() {
    const auto input = [&](const char* name) {
      return graph_.Parameter(name, IrType::kI64, {kAnySize, kAnySize});
    };
    const IrValue ids = input("input_ids"), attention_mask = input("attention_mask"),
                  types = input("token_type_ids");
    mask_ = Mask("mask", RealKeys(attention_mask));
    const IrValue words = Rows("embedding/words", Role::kTokenEmbedding, ids);
    const IrValue typed =
        Added("embedding/typed", words, Rows("embedding/types", Role::kTokenTypes, types));
    const IrValue places = PlacesOf(attention_mask);
    const IrValue placed = Added("embedding/placed", typed,
                                 Rows("embedding/positions", Role::kPositionEmbedding, places));
    IrValue x = Normalize(Role::kEmbeddingNorm, -1, placed);
    for (int layer = 0; layer < static_cast<int>(h_.layers); ++layer) x = Layer(layer, x);
    graph_.Result(kHiddenStates, x);
  }

 private:
  IrValue Added(std::string name, IrValue a, IrValue b) {
    return graph_.Elementwise(kAdd, std::move(name), a, b);
  }

  IrValue Attend(int layer, const std::string& name, IrValue x) {
    const auto heads = [&](const char* part, Role role) {
      return Heads(name + part, Product(role, layer, x), h_.heads);
    };
    const IrValue q = heads("/q", Role::kAttnQ), k = heads("/k", Role::kAttnK),
                  v = heads("/v", Role::kAttnV);
    const IrValue attended =
        graph_.Add({"ScaledDotProductAttention", "opset13"}, name + "/attended", {q, k, v, mask_},
                   {{"causal", "false"}}, IrType::kF32, graph_.ShapeOf(q));
    return Reshape(name + "/joined", SwapMiddle(name + "/turned", attended), {0, 0, h_.hidden});
  }

  IrValue Layer(int layer, IrValue x) {
    const std::string name = fmt::format("encoder.layer.{}", layer);
    const IrValue attended =
        Product(Role::kAttnOutput, layer, Attend(layer, name + ".attention", x));
    x = Normalize(Role::kAttnOutputNorm, layer, Added(name + "/attended", x, attended));
    const IrValue wide = Product(Role::kFfnUp, layer, x);
    const IrValue active =
        graph_.Add({"Gelu", "opset7"}, name + ".intermediate/gelu", {wide},
                   {{"approximation_mode", "ERF"}}, IrType::kF32, graph_.ShapeOf(wide));
    const IrValue narrow = Product(Role::kFfnDown, layer, active);
    return Normalize(Role::kLayerOutputNorm, layer, Added(name + "/done", x, narrow));
  }

  IrValue mask_;
};

}  // namespace

void BuildOpenVinoEncoder(const ModelDescription& model, IrGraph& graph, OpenVinoWeights& weights,
                          IrConstants& constants) {
  Encoder(model, graph, weights, constants).Run();
}

}  // namespace quantfleet::pipeline
