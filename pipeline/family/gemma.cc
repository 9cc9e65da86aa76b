// Gemma, the first generation: norms that files of Hugging Face keep as w and compute as w + 1, an
// embedding scaled by its width, GELU for the gate, a head size of its own, always tied.
#include "pipeline/family/family.h"

namespace quantfleet::pipeline {

const Family& Gemma() {
  static constexpr HfClass kClasses[] = {{"GemmaForCausalLM", "gemma"}};
  static constexpr float kOne = 1;
  static constexpr FamilyTensor kTensors[] = {
      {Role::kTokenEmbedding, {"model.embed_tokens.weight", "token_embd.weight"}},
      {Role::kAttnNorm, {"input_layernorm.weight", "attn_norm.weight"}, Presence::kAlways, kOne},
      {Role::kAttnQ, {"self_attn.q_proj.weight", "attn_q.weight"}},
      {Role::kAttnK, {"self_attn.k_proj.weight", "attn_k.weight"}},
      {Role::kAttnV, {"self_attn.v_proj.weight", "attn_v.weight"}},
      {Role::kAttnOutput, {"self_attn.o_proj.weight", "attn_output.weight"}},
      {Role::kFfnNorm,
       {"post_attention_layernorm.weight", "ffn_norm.weight"},
       Presence::kAlways,
       kOne},
      {Role::kFfnGate, {"mlp.gate_proj.weight", "ffn_gate.weight"}},
      {Role::kFfnUp, {"mlp.up_proj.weight", "ffn_up.weight"}},
      {Role::kFfnDown, {"mlp.down_proj.weight", "ffn_down.weight"}},
      {Role::kOutputNorm, {"model.norm.weight", "output_norm.weight"}, Presence::kAlways, kOne},
  };
  static constexpr ConfigMember kConfigMembers[] = {ConfigMember::kHeadDim};
  static constexpr Family kFamily{
      .name = "gemma",
      .classes = kClasses,
      .tensors = kTensors,
      .tied_by_default = true,
      .activation = Activation::kGeluTanh,
      .hidden_act = kGemmaGeluNames,
      .scales_embedding_by_root = true,
      .config_members = kConfigMembers,
      .mlx_reads_head_dim = true,
      .mlx_scales_rope = false,
  };
  return kFamily;
}

}  // namespace quantfleet::pipeline
