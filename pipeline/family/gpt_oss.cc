// gpt-oss: experts in MXFP4, biases everywhere but on the head, attention with a window in every
// other layer and with a sink per head, to which weight goes that no position gets.
#include "pipeline/family/family.h"
#include "pipeline/family/tensors.h"

namespace quantfleet::pipeline {

const Family& GptOss() {
  static constexpr HfClass kClasses[] = {{"GptOssForCausalLM", "gpt_oss", Window::kInAttention}};
  static constexpr FamilyTensor kTensors[] = {
      tensors::kEmbedding,
      tensors::kAttnNorm,
      tensors::kQ,
      tensors::kK,
      tensors::kV,
      tensors::kQBias,
      tensors::kKBias,
      tensors::kVBias,
      {Role::kAttnSinks, {"self_attn.sinks", "attn_sinks.weight"}},
      tensors::kAttnOutput,
      tensors::kAttnOutputBias,
      {Role::kFfnNorm, {"post_attention_layernorm.weight", "post_attention_norm.weight"}},
      {Role::kFfnRouter, {"mlp.router.weight", "ffn_gate_inp.weight"}},
      {Role::kFfnRouterBias, {"mlp.router.bias", "ffn_gate_inp.bias"}},
      {Role::kFfnGateExpert, {"mlp.experts.gate_proj.weight", "ffn_gate_exps.weight"}},
      {Role::kFfnUpExpert, {"mlp.experts.up_proj.weight", "ffn_up_exps.weight"}},
      {Role::kFfnGateExpertBias, {"mlp.experts.gate_proj.bias", "ffn_gate_exps.bias"}},
      {Role::kFfnUpExpertBias, {"mlp.experts.up_proj.bias", "ffn_up_exps.bias"}},
      {Role::kFfnDownExpert,
       {"mlp.experts.down_proj", "ffn_down_exps.weight", "mlp.experts.down_proj.weight"}},
      {Role::kFfnDownExpertBias,
       {"mlp.experts.down_proj_bias", "ffn_down_exps.bias", "mlp.experts.down_proj.bias"}},
      tensors::kOutputNorm,
      tensors::kHead,
  };
  static constexpr FusedTensor kFused[] = {
      {.roles = kGateUpExpert, .name = {"mlp.experts.gate_up_proj", ""}, .alternates = true},
      {.roles = kGateUpExpertBias,
       .name = {"mlp.experts.gate_up_proj_bias", ""},
       .alternates = true},
  };
  static constexpr ConfigMember kConfigMembers[] = {
      ConfigMember::kHeadDim, ConfigMember::kOriginalContext, ConfigMember::kSlidingWindow,
      ConfigMember::kWindowPattern, ConfigMember::kGptOss};
  static constexpr Family kFamily{
      .name = "gpt-oss",
      .classes = kClasses,
      .tensors = kTensors,
      .fused = kFused,
      .activation = Activation::kClampedSwiglu,
      .experts = ExpertsOf{.count = {"num_local_experts", "expert_count"},
                           .used = {"num_experts_per_tok", "expert_used_count"},
                           .width = {"intermediate_size", "expert_feed_forward_length"}},
      .yarn = true,
      .full_every = 2,
      .default_window = 128,
      .config_members = kConfigMembers,
      .mlx_reads_head_dim = true,
      .genai_type = "gptoss",
  };
  return kFamily;
}

}  // namespace quantfleet::pipeline
