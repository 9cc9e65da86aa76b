// Qwen 3, the dense models: RMS norms of each head of q and k before they turn, a head size of
// their own, no biases. Qwen 3 Embedding is one of them, without a head.
#include "pipeline/family/family.h"
#include "pipeline/family/tensors.h"

namespace quantfleet::pipeline {

const Family& Qwen3() {
  static constexpr HfClass kClasses[] = {
      {"Qwen3ForCausalLM", "qwen3"},
      {.name = "Qwen3Model", .model_type = "qwen3", .headless = true},
  };
  static constexpr FamilyTensor kTensors[] = {
      tensors::kEmbedding,  tensors::kAttnNorm, tensors::kQ,     tensors::kK,
      tensors::kV,          tensors::kQNorm,    tensors::kKNorm, tensors::kAttnOutput,
      tensors::kFfnNorm,    tensors::kGate,     tensors::kUp,    tensors::kDown,
      tensors::kOutputNorm, tensors::kHead};
  static constexpr ConfigMember kConfigMembers[] = {ConfigMember::kHeadDim};
  static constexpr Family kFamily{
      .name = "qwen3",
      .classes = kClasses,
      .tensors = kTensors,
      .config_members = kConfigMembers,
      .mlx_reads_head_dim = true,
      .mlx_pools = Pooling::kLast,
  };
  return kFamily;
}

}  // namespace quantfleet::pipeline
