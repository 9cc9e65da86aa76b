// Qwen 3, the dense models: RMS norms of each head of q and k before they turn, a head size of
// their own, no biases. Qwen 3 Embedding is one of them, without a head.
#include "pipeline/family/family.h"

namespace quantfleet::pipeline {

const Family& Qwen3() {
  static constexpr HfClass kClasses[] = {
      {"Qwen3ForCausalLM", "qwen3"},
      {.name = "Qwen3Model", .model_type = "qwen3", .headless = true},
  };
  static constexpr FamilyTensor kTensors[] = {
      {Role::kTokenEmbedding, {"model.embed_tokens.weight", "token_embd.weight"}},
      {Role::kAttnNorm, {"input_layernorm.weight", "attn_norm.weight"}},
      {Role::kAttnQ, {"self_attn.q_proj.weight", "attn_q.weight"}},
      {Role::kAttnK, {"self_attn.k_proj.weight", "attn_k.weight"}},
      {Role::kAttnV, {"self_attn.v_proj.weight", "attn_v.weight"}},
      {Role::kAttnQNorm, {"self_attn.q_norm.weight", "attn_q_norm.weight"}},
      {Role::kAttnKNorm, {"self_attn.k_norm.weight", "attn_k_norm.weight"}},
      {Role::kAttnOutput, {"self_attn.o_proj.weight", "attn_output.weight"}},
      {Role::kFfnNorm, {"post_attention_layernorm.weight", "ffn_norm.weight"}},
      {Role::kFfnGate, {"mlp.gate_proj.weight", "ffn_gate.weight"}},
      {Role::kFfnUp, {"mlp.up_proj.weight", "ffn_up.weight"}},
      {Role::kFfnDown, {"mlp.down_proj.weight", "ffn_down.weight"}},
      {Role::kOutputNorm, {"model.norm.weight", "output_norm.weight"}},
      {Role::kOutputHead, {"lm_head.weight", "output.weight"}},
  };
  static constexpr ConfigMember kConfigMembers[] = {ConfigMember::kHeadDim};
  static constexpr Family kFamily{
      .name = "qwen3",
      .classes = kClasses,
      .tensors = kTensors,
      .config_members = kConfigMembers,
      .mlx_reads_head_dim = true,
  };
  return kFamily;
}

}  // namespace quantfleet::pipeline
