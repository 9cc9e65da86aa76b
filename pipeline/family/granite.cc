// Granite 3 and 4, the dense models: Llama's shape with four scalars.
#include "pipeline/family/family.h"

namespace quantfleet::pipeline {

const Family& Granite() {
  static constexpr HfClass kClasses[] = {{"GraniteForCausalLM", "granite"}};
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
  static constexpr FamilyScalar kScalars[] = {
      {&Hyperparameters::embedding_scale, {"embedding_multiplier", "embedding_scale"}},
      {&Hyperparameters::attention_scale, {"attention_multiplier", "attention.scale"}},
      {&Hyperparameters::residual_scale, {"residual_multiplier", "residual_scale"}},
      {&Hyperparameters::logit_divisor, {"logits_scaling", "logit_scale"}},
  };
  static constexpr ConfigMember kConfigMembers[] = {ConfigMember::kNoBiases};
  static constexpr Family kFamily{
      .name = "granite",
      .classes = kClasses,
      .tensors = kTensors,
      .scalars = kScalars,
      .gguf_rows = RowOrder::kInterleaved,
      .config_members = kConfigMembers,
  };
  return kFamily;
}

}  // namespace quantfleet::pipeline
