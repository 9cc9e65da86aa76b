// Phi-3.5-MoE and its smaller siblings: Llama's shape with experts, biases on the products of
// attention and on the head, and norms around the mean. The engine follows the published code;
// docs/formats/models.md says what other runtimes compute instead.
#include "pipeline/family/family.h"
#include "pipeline/family/tensors.h"

namespace quantfleet::pipeline {

const Family& Phimoe() {
  // The context ends where attention would begin to be cut, which only the published code does.
  static constexpr HfClass kClasses[] = {{"PhiMoEForCausalLM", "phimoe", Window::kEndsContext},
                                         {"PhimoeForCausalLM", "phimoe", Window::kEndsContext}};
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
      tensors::kAttnOutput,
      tensors::kAttnOutputBias,
      tensors::kFfnNorm,
      {Role::kFfnNormBias, {"post_attention_layernorm.bias", "ffn_norm.bias"}},
      {Role::kFfnRouter, {"block_sparse_moe.gate.weight", "ffn_gate_inp.weight"}},
      {Role::kFfnGateExpert,
       {"block_sparse_moe.experts.*.w1.weight", "ffn_gate_exps.weight",
        "block_sparse_moe.switch_mlp.gate_proj.weight"}},
      {Role::kFfnUpExpert,
       {"block_sparse_moe.experts.*.w3.weight", "ffn_up_exps.weight",
        "block_sparse_moe.switch_mlp.up_proj.weight"}},
      {Role::kFfnDownExpert,
       {"block_sparse_moe.experts.*.w2.weight", "ffn_down_exps.weight",
        "block_sparse_moe.switch_mlp.down_proj.weight"}},
      tensors::kOutputNorm,
      {Role::kOutputNormBias, {"model.norm.bias", "output_norm.bias"}},
      tensors::kHead,
      tensors::kHeadBias,
  };
  static constexpr ConfigMember kConfigMembers[] = {ConfigMember::kOriginalContext,
                                                    ConfigMember::kPhimoe};
  static constexpr Family kFamily{
      .name = "phimoe",
      .classes = kClasses,
      .tensors = kTensors,
      .norm = Norm::kLayer,
      .experts = ExpertsOf{.routing = Routing::kSparseMixer,
                           .count = {"num_local_experts", "expert_count"},
                           .used = {"num_experts_per_tok", "expert_used_count"}},
      .long_rope = true,
      .config_members = kConfigMembers,
      .mlx_needs_factors = true,
      .transformers_js = false,
      .literal_added_tokens = true,
  };
  return kFamily;
}

}  // namespace quantfleet::pipeline
