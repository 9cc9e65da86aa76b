// The tensors that most families have, as Llama's files name them; a family lists those that it
// has, and spells its own beside them.
#pragma once

#include "pipeline/family/family.h"

namespace quantfleet::pipeline::tensors {

inline constexpr FamilyTensor kEmbedding{Role::kTokenEmbedding,
                                         {"model.embed_tokens.weight", "token_embd.weight"}};
inline constexpr FamilyTensor kAttnNorm{Role::kAttnNorm,
                                        {"input_layernorm.weight", "attn_norm.weight"}};
inline constexpr FamilyTensor kAttnNormBias{Role::kAttnNormBias,
                                            {"input_layernorm.bias", "attn_norm.bias"}};
inline constexpr FamilyTensor kQ{Role::kAttnQ, {"self_attn.q_proj.weight", "attn_q.weight"}};
inline constexpr FamilyTensor kK{Role::kAttnK, {"self_attn.k_proj.weight", "attn_k.weight"}};
inline constexpr FamilyTensor kV{Role::kAttnV, {"self_attn.v_proj.weight", "attn_v.weight"}};
inline constexpr FamilyTensor kQBias{Role::kAttnQBias, {"self_attn.q_proj.bias", "attn_q.bias"}};
inline constexpr FamilyTensor kKBias{Role::kAttnKBias, {"self_attn.k_proj.bias", "attn_k.bias"}};
inline constexpr FamilyTensor kVBias{Role::kAttnVBias, {"self_attn.v_proj.bias", "attn_v.bias"}};
inline constexpr FamilyTensor kQNorm{Role::kAttnQNorm,
                                     {"self_attn.q_norm.weight", "attn_q_norm.weight"}};
inline constexpr FamilyTensor kKNorm{Role::kAttnKNorm,
                                     {"self_attn.k_norm.weight", "attn_k_norm.weight"}};
inline constexpr FamilyTensor kAttnOutput{Role::kAttnOutput,
                                          {"self_attn.o_proj.weight", "attn_output.weight"}};
inline constexpr FamilyTensor kAttnOutputBias{Role::kAttnOutputBias,
                                              {"self_attn.o_proj.bias", "attn_output.bias"}};
inline constexpr FamilyTensor kFfnNorm{Role::kFfnNorm,
                                       {"post_attention_layernorm.weight", "ffn_norm.weight"}};
// Of a family that also norms what a part adds: Hugging Face's names have moved.
inline constexpr FamilyTensor kAttnPostNorm{
    Role::kAttnPostNorm, {"post_attention_layernorm.weight", "post_attention_norm.weight"}};
inline constexpr FamilyTensor kPreFfnNorm{Role::kFfnNorm,
                                          {"pre_feedforward_layernorm.weight", "ffn_norm.weight"}};
inline constexpr FamilyTensor kFfnPostNorm{
    Role::kFfnPostNorm, {"post_feedforward_layernorm.weight", "post_ffw_norm.weight"}};
inline constexpr FamilyTensor kGate{Role::kFfnGate, {"mlp.gate_proj.weight", "ffn_gate.weight"}};
inline constexpr FamilyTensor kUp{Role::kFfnUp, {"mlp.up_proj.weight", "ffn_up.weight"}};
inline constexpr FamilyTensor kDown{Role::kFfnDown, {"mlp.down_proj.weight", "ffn_down.weight"}};
inline constexpr FamilyTensor kOutputNorm{Role::kOutputNorm,
                                          {"model.norm.weight", "output_norm.weight"}};
inline constexpr FamilyTensor kHead{Role::kOutputHead, {"lm_head.weight", "output.weight"}};
inline constexpr FamilyTensor kHeadBias{Role::kOutputHeadBias, {"lm_head.bias", "output.bias"}};

inline constexpr FusedTensor kFusedQkv{kQkv, {"self_attn.qkv_proj.weight", "attn_qkv.weight"}};
// GGUF's is named as up alone is.
inline constexpr FusedTensor kFusedGateUp{kGateUp, {"mlp.gate_up_proj.weight", "ffn_up.weight"}};

// The same tensor, of a family whose models may do without it.
constexpr FamilyTensor Optional(FamilyTensor tensor) {
  tensor.presence = Presence::kOptional;
  return tensor;
}

// The same tensor, which Hugging Face's files have less 1 (FamilyTensor::hf_lacks).
constexpr FamilyTensor LessOne(FamilyTensor tensor) {
  tensor.hf_lacks = 1;
  return tensor;
}

}  // namespace quantfleet::pipeline::tensors
