// Llama 2 and 3, Mistral, and what was published in their shape. Some have biases on q, k and v.
#include "pipeline/family/family.h"
#include "pipeline/family/tensors.h"

namespace quantfleet::pipeline {

const Family& Llama() {
  // Mistral's layers are llama's.
  static constexpr HfClass kClasses[] = {
      {"LlamaForCausalLM", "llama"},
      {"MistralForCausalLM", "mistral", Window::kEndsContext},
  };
  static constexpr FamilyTensor kTensors[] = {tensors::kEmbedding,
                                              tensors::kAttnNorm,
                                              tensors::kQ,
                                              tensors::kK,
                                              tensors::kV,
                                              tensors::Optional(tensors::kQBias),
                                              tensors::Optional(tensors::kKBias),
                                              tensors::Optional(tensors::kVBias),
                                              tensors::kAttnOutput,
                                              tensors::kFfnNorm,
                                              tensors::kGate,
                                              tensors::kUp,
                                              tensors::kDown,
                                              tensors::kOutputNorm,
                                              tensors::kHead};
  static constexpr FusedTensor kFused[] = {tensors::kFusedQkv, tensors::kFusedGateUp};
  static constexpr ConfigMember kConfigMembers[] = {ConfigMember::kHeadDim};
  static constexpr Family kFamily{
      .name = "llama",
      .classes = kClasses,
      .tensors = kTensors,
      .fused = kFused,
      .gguf_rows = RowOrder::kInterleaved,
      .config_members = kConfigMembers,
      .mlx_reads_head_dim = true,
      .seventy_b = SeventyB::kSharedKv,
  };
  return kFamily;
}

}  // namespace quantfleet::pipeline
