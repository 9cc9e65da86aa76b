#include "pipeline/format/gguf/read/gguf_names.h"

namespace quantfleet::pipeline {

std::string GgufNames::Of(Role role, int layer) const {
  const auto block = [layer](std::string_view suffix) {
    return fmt::format("blk.{}.{}", layer, suffix);
  };
  switch (role) {
    case Role::kTokenEmbedding:
      return "token_embd.weight";
    case Role::kOutputNorm:
      return "output_norm.weight";
    case Role::kOutputHead:
      return "output.weight";
    case Role::kAttnNorm:
      return block("attn_norm.weight");
    case Role::kAttnQ:
      return block("attn_q.weight");
    case Role::kAttnK:
      return block("attn_k.weight");
    case Role::kAttnV:
      return block("attn_v.weight");
    case Role::kAttnQBias:
      return block("attn_q.bias");
    case Role::kAttnKBias:
      return block("attn_k.bias");
    case Role::kAttnVBias:
      return block("attn_v.bias");
    case Role::kAttnOutput:
      return block("attn_output.weight");
    case Role::kFfnNorm:
      return block("ffn_norm.weight");
    case Role::kFfnGate:
      return block("ffn_gate.weight");
    case Role::kFfnUp:
      return block("ffn_up.weight");
    case Role::kFfnDown:
      return block("ffn_down.weight");
  }
  return "";
}

std::string GgufTensorName(Architecture architecture, Role role, int layer) {
  const GgufNames names;
  if (architecture == Architecture::kPhi3) {
    switch (role) {
      case Role::kAttnQ:
      case Role::kAttnK:
      case Role::kAttnV:
        return names.FusedQkv(layer);
      case Role::kFfnGate:
      case Role::kFfnUp:
        return names.FusedGateUp(layer);
      default:
        break;
    }
  }
  return names.Of(role, layer);
}

std::string GgufNames::FusedQkv(int layer) const {
  return fmt::format("blk.{}.attn_qkv.weight", layer);
}
std::string GgufNames::FusedGateUp(int layer) const { return Of(Role::kFfnUp, layer); }

}  // namespace quantfleet::pipeline
