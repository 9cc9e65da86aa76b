// Qwen 3's mixtures of experts: attention as in the dense models, and in each layer experts in
// place of one feed-forward part.
#include "pipeline/family/family.h"
#include "pipeline/family/tensors.h"

namespace quantfleet::pipeline {

const Family& Qwen3Moe() {
  static constexpr HfClass kClasses[] = {{"Qwen3MoeForCausalLM", "qwen3_moe"}};
  static constexpr FamilyTensor kTensors[] = {
      tensors::kEmbedding,
      tensors::kAttnNorm,
      tensors::kQ,
      tensors::kK,
      tensors::kV,
      tensors::kQNorm,
      tensors::kKNorm,
      tensors::kAttnOutput,
      tensors::kFfnNorm,
      {Role::kFfnRouter, {"mlp.gate.weight", "ffn_gate_inp.weight"}},
      {Role::kFfnGateExpert,
       {"mlp.experts.*.gate_proj.weight", "ffn_gate_exps.weight",
        "mlp.switch_mlp.gate_proj.weight"}},
      {Role::kFfnUpExpert,
       {"mlp.experts.*.up_proj.weight", "ffn_up_exps.weight", "mlp.switch_mlp.up_proj.weight"}},
      {Role::kFfnDownExpert,
       {"mlp.experts.*.down_proj.weight", "ffn_down_exps.weight",
        "mlp.switch_mlp.down_proj.weight"}},
      tensors::kOutputNorm,
      tensors::kHead,
  };
  static constexpr ConfigMember kConfigMembers[] = {ConfigMember::kHeadDim,
                                                    ConfigMember::kExpertsInAllLayers};
  static constexpr Family kFamily{
      .name = "qwen3moe",
      .classes = kClasses,
      .tensors = kTensors,
      .experts = ExpertsOf{.count = {"num_experts", "expert_count"},
                           .used = {"num_experts_per_tok", "expert_used_count"},
                           .width = {"moe_intermediate_size", "expert_feed_forward_length"}},
      .config_members = kConfigMembers,
      .mlx_reads_head_dim = true,
      .mlx_scales_rope = false,
      .genai_type = "qwen3",
  };
  return kFamily;
}

}  // namespace quantfleet::pipeline
