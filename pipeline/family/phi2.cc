// Phi-1, Phi-1.5 and Phi-2: one LayerNorm before attention and the feed-forward part, which run
// side by side; biases everywhere, GELU without a gate, heads that turn in part.
#include "pipeline/family/family.h"
#include "pipeline/family/tensors.h"

namespace quantfleet::pipeline {

const Family& Phi2() {
  static constexpr HfClass kClasses[] = {{"PhiForCausalLM", "phi"}};
  static constexpr FamilyTensor kTensors[] = {
      tensors::kEmbedding,
      tensors::kAttnNorm,
      tensors::kAttnNormBias,
      tensors::kQ,
      tensors::kK,
      tensors::kV,
      tensors::kQBias,
      tensors::kKBias,
      tensors::kVBias,
      {Role::kAttnOutput, {"self_attn.dense.weight", "attn_output.weight"}},
      {Role::kAttnOutputBias, {"self_attn.dense.bias", "attn_output.bias"}},
      {Role::kFfnUp, {"mlp.fc1.weight", "ffn_up.weight"}},
      {Role::kFfnUpBias, {"mlp.fc1.bias", "ffn_up.bias"}},
      {Role::kFfnDown, {"mlp.fc2.weight", "ffn_down.weight"}},
      {Role::kFfnDownBias, {"mlp.fc2.bias", "ffn_down.bias"}},
      {Role::kOutputNorm, {"model.final_layernorm.weight", "output_norm.weight"}},
      {Role::kOutputNormBias, {"model.final_layernorm.bias", "output_norm.bias"}},
      tensors::kHead,
      tensors::kHeadBias,
  };
  // As GGUF files have them that were made before Hugging Face's classes took q, k and v apart.
  static constexpr FusedTensor kFused[] = {
      tensors::kFusedQkv,
      {kQkvBias, {"self_attn.qkv_proj.bias", "attn_qkv.bias"}},
  };
  static constexpr ConfigMember kConfigMembers[] = {ConfigMember::kPartialRotaryFactor};
  static constexpr Family kFamily{
      .name = "phi2",
      .classes = kClasses,
      .tensors = kTensors,
      .fused = kFused,
      .norm = Norm::kLayer,
      .epsilon = {"layer_norm_eps", "attention.layer_norm_epsilon"},
      .activation = Activation::kGeluTanh,
      .hidden_act = kGeluTanhNames,
      .residual = Residual::kParallel,
      .partial_rotary = true,
      .config_members = kConfigMembers,
      .mlx_scales_rope = false,
  };
  return kFamily;
}

}  // namespace quantfleet::pipeline
