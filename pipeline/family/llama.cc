// Llama 2 and 3, Mistral, and what was published in their shape. Some have biases on q, k and v.
#include "pipeline/family/family.h"

namespace quantfleet::pipeline {

const Family& Llama() {
  // Mistral's layers are llama's.
  static constexpr HfClass kClasses[] = {
      {"LlamaForCausalLM", "llama"},
      {"MistralForCausalLM", "mistral", Window::kEndsContext},
  };
  static constexpr FamilyTensor kTensors[] = {
      {Role::kTokenEmbedding, {"model.embed_tokens.weight", "token_embd.weight"}},
      {Role::kAttnNorm, {"input_layernorm.weight", "attn_norm.weight"}},
      {Role::kAttnQ, {"self_attn.q_proj.weight", "attn_q.weight"}},
      {Role::kAttnK, {"self_attn.k_proj.weight", "attn_k.weight"}},
      {Role::kAttnV, {"self_attn.v_proj.weight", "attn_v.weight"}},
      {Role::kAttnQBias, {"self_attn.q_proj.bias", "attn_q.bias"}, Presence::kOptional},
      {Role::kAttnKBias, {"self_attn.k_proj.bias", "attn_k.bias"}, Presence::kOptional},
      {Role::kAttnVBias, {"self_attn.v_proj.bias", "attn_v.bias"}, Presence::kOptional},
      {Role::kAttnOutput, {"self_attn.o_proj.weight", "attn_output.weight"}},
      {Role::kFfnNorm, {"post_attention_layernorm.weight", "ffn_norm.weight"}},
      {Role::kFfnGate, {"mlp.gate_proj.weight", "ffn_gate.weight"}},
      {Role::kFfnUp, {"mlp.up_proj.weight", "ffn_up.weight"}},
      {Role::kFfnDown, {"mlp.down_proj.weight", "ffn_down.weight"}},
      {Role::kOutputNorm, {"model.norm.weight", "output_norm.weight"}},
      {Role::kOutputHead, {"lm_head.weight", "output.weight"}},
  };
  static constexpr FusedTensor kFused[] = {
      {kQkv, {"self_attn.qkv_proj.weight", "attn_qkv.weight"}},
      {kGateUp, {"mlp.gate_up_proj.weight", "ffn_up.weight"}},  // GGUF's, as up alone
  };
  static constexpr ConfigMember kConfigMembers[] = {ConfigMember::kHeadDim};
  static constexpr Family kFamily{
      .name = "llama",
      .classes = kClasses,
      .tensors = kTensors,
      .fused = kFused,
      .gguf_rows = RowOrder::kInterleaved,
      .config_members = kConfigMembers,
      .mlx_reads_head_dim = true,
      .seventy_b = SeventyB::kSharedKv,
  };
  return kFamily;
}

}  // namespace quantfleet::pipeline
