// Granite 3 and 4, the dense models: Llama's shape with four scalars.
#include "pipeline/family/family.h"
#include "pipeline/family/tensors.h"

namespace quantfleet::pipeline {

const Family& Granite() {
  static constexpr HfClass kClasses[] = {{"GraniteForCausalLM", "granite"}};
  static constexpr FamilyTensor kTensors[] = {
      tensors::kEmbedding, tensors::kAttnNorm,   tensors::kQ,          tensors::kK,
      tensors::kV,         tensors::kAttnOutput, tensors::kFfnNorm,    tensors::kGate,
      tensors::kUp,        tensors::kDown,       tensors::kOutputNorm, tensors::kHead};
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
