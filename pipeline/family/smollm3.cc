// SmolLM3: Llama's shape, but every fourth layer is without rotary embedding.
#include "pipeline/family/family.h"

namespace quantfleet::pipeline {

const Family& Smollm3() {
  static constexpr HfClass kClasses[] = {{"SmolLM3ForCausalLM", "smollm3"}};
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
  static constexpr ConfigMember kConfigMembers[] = {ConfigMember::kHeadDim,
                                                    ConfigMember::kNoRopeLayers};
  static constexpr Family kFamily{
      .name = "smollm3",
      .classes = kClasses,
      .tensors = kTensors,
      .tied_by_default = true,
      .unturned_every = 4,
      .gguf_rows = RowOrder::kInterleaved,
      .config_members = kConfigMembers,
      .mlx_reads_head_dim = true,
  };
  return kFamily;
}

}  // namespace quantfleet::pipeline
