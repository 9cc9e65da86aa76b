#include "pipeline/format/safetensors/hf_names.h"

namespace quantfleet::pipeline {

std::string HfNames::Of(Role role, int layer) const {
  const auto in_layer = [layer](std::string_view suffix) {
    return fmt::format("model.layers.{}.{}", layer, suffix);
  };
  switch (role) {
    case Role::kTokenEmbedding:
      return "model.embed_tokens.weight";
    case Role::kOutputNorm:
      return "model.norm.weight";
    case Role::kOutputHead:
      return "lm_head.weight";
    case Role::kAttnNorm:
      return in_layer("input_layernorm.weight");
    case Role::kAttnQ:
      return in_layer("self_attn.q_proj.weight");
    case Role::kAttnK:
      return in_layer("self_attn.k_proj.weight");
    case Role::kAttnV:
      return in_layer("self_attn.v_proj.weight");
    case Role::kAttnQBias:
      return in_layer("self_attn.q_proj.bias");
    case Role::kAttnKBias:
      return in_layer("self_attn.k_proj.bias");
    case Role::kAttnVBias:
      return in_layer("self_attn.v_proj.bias");
    case Role::kAttnOutput:
      return in_layer("self_attn.o_proj.weight");
    case Role::kFfnNorm:
      return in_layer("post_attention_layernorm.weight");
    case Role::kFfnGate:
      return in_layer("mlp.gate_proj.weight");
    case Role::kFfnUp:
      return in_layer("mlp.up_proj.weight");
    case Role::kFfnDown:
      return in_layer("mlp.down_proj.weight");
  }
  return "";
}

std::string HfNames::FusedQkv(int layer) const {
  return fmt::format("model.layers.{}.self_attn.qkv_proj.weight", layer);
}
std::string HfNames::FusedGateUp(int layer) const {
  return fmt::format("model.layers.{}.mlp.gate_up_proj.weight", layer);
}

std::string HfTensorName(Architecture architecture, Role role, int layer) {
  const HfNames names;
  if (architecture == Architecture::kPhi3) {
    if (role == Role::kAttnQ || role == Role::kAttnK || role == Role::kAttnV)
      return names.FusedQkv(layer);
    if (role == Role::kFfnGate || role == Role::kFfnUp) return names.FusedGateUp(layer);
  }
  return names.Of(role, layer);
}

bool IsDerivedTensor(std::string_view name) {
  for (const std::string_view suffix : {".rotary_emb.inv_freq", ".rotary_emb.cos_cached",
                                        ".rotary_emb.sin_cached", ".self_attn.masked_bias"})
    if (name.ends_with(suffix)) return true;
  return false;
}

}  // namespace quantfleet::pipeline
