// Phi-3, Phi-3.5, Phi-4 and their minis, and what of Phi-4-multimodal does text: q, k, v and gate,
// up fused, LongRoPE, heads that turn in part.
#include "pipeline/family/family.h"

namespace quantfleet::pipeline {

const Family& Phi3() {
  static constexpr HfClass kClasses[] = {
      {"Phi3ForCausalLM", "phi3", Window::kInAttention},
      {"Phi4MMForCausalLM", "phi4mm", Window::kInAttention, /*beside_adapters=*/true},
      {"Phi4MultimodalForCausalLM", "phi4_multimodal", Window::kInAttention,
       /*beside_adapters=*/true}};
  static constexpr FamilyTensor kTensors[] = {
      {Role::kTokenEmbedding, {"model.embed_tokens.weight", "token_embd.weight"}},
      {Role::kAttnNorm, {"input_layernorm.weight", "attn_norm.weight"}},
      {Role::kAttnQ, {"self_attn.q_proj.weight", "attn_q.weight"}},
      {Role::kAttnK, {"self_attn.k_proj.weight", "attn_k.weight"}},
      {Role::kAttnV, {"self_attn.v_proj.weight", "attn_v.weight"}},
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
  static constexpr ConfigMember kConfigMembers[] = {ConfigMember::kOriginalContext,
                                                    ConfigMember::kPartialRotaryFactor,
                                                    ConfigMember::kSlidingWindow};
  static constexpr Family kFamily{
      .name = "phi3",
      .classes = kClasses,
      .tensors = kTensors,
      .fused = kFused,
      .writes_fused = true,
      .partial_rotary = true,
      .long_rope = true,
      .gguf_states_window = true,
      .config_members = kConfigMembers,
      .literal_added_tokens = true,
  };
  return kFamily;
}

}  // namespace quantfleet::pipeline
