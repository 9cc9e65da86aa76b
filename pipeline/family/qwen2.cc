// Qwen 2 and 2.5: Llama's shape with biases on q, k and v.
#include "pipeline/family/family.h"
#include "pipeline/family/tensors.h"

namespace quantfleet::pipeline {

const Family& Qwen2() {
  static constexpr HfClass kClasses[] = {{"Qwen2ForCausalLM", "qwen2"}};
  static constexpr FamilyTensor kTensors[] = {
      tensors::kEmbedding,  tensors::kAttnNorm,   tensors::kQ,     tensors::kK,
      tensors::kV,          tensors::kQBias,      tensors::kKBias, tensors::kVBias,
      tensors::kAttnOutput, tensors::kFfnNorm,    tensors::kGate,  tensors::kUp,
      tensors::kDown,       tensors::kOutputNorm, tensors::kHead};
  static constexpr FusedTensor kFused[] = {tensors::kFusedQkv, tensors::kFusedGateUp};
  static constexpr ConfigMember kConfigMembers[] = {ConfigMember::kHeadDim};
  static constexpr Family kFamily{
      .name = "qwen2",
      .classes = kClasses,
      .tensors = kTensors,
      .fused = kFused,
      .config_members = kConfigMembers,
      .seventy_b = SeventyB::kAll,
  };
  return kFamily;
}

}  // namespace quantfleet::pipeline
