// Phi-3, Phi-3.5, Phi-4 and their minis, and what of Phi-4-multimodal does text: q, k, v and gate,
// up fused, LongRoPE, heads that turn in part.
#include "pipeline/family/family.h"
#include "pipeline/family/tensors.h"

namespace quantfleet::pipeline {

const Family& Phi3() {
  static constexpr HfClass kClasses[] = {
      {"Phi3ForCausalLM", "phi3", Window::kInAttention},
      {"Phi4MMForCausalLM", "phi4mm", Window::kInAttention, /*beside_adapters=*/true},
      {"Phi4MultimodalForCausalLM", "phi4_multimodal", Window::kInAttention,
       /*beside_adapters=*/true}};
  static constexpr FamilyTensor kTensors[] = {
      tensors::kEmbedding, tensors::kAttnNorm,   tensors::kQ,          tensors::kK,
      tensors::kV,         tensors::kAttnOutput, tensors::kFfnNorm,    tensors::kGate,
      tensors::kUp,        tensors::kDown,       tensors::kOutputNorm, tensors::kHead};
  static constexpr FusedTensor kFused[] = {tensors::kFusedQkv, tensors::kFusedGateUp};
  static constexpr ConfigMember kConfigMembers[] = {ConfigMember::kOriginalContext,
                                                    ConfigMember::kPartialRotaryFactor,
                                                    ConfigMember::kSlidingWindow};
  static constexpr Family kFamily{
      .name = "phi3",
      .classes = kClasses,
      .tensors = kTensors,
      .fused = kFused,
      .writes_fused = true,
      .partial_rotary = true,
      .long_rope = true,
      .gguf_states_window = true,
      .config_members = kConfigMembers,
      .literal_added_tokens = true,
  };
  return kFamily;
}

}  // namespace quantfleet::pipeline
