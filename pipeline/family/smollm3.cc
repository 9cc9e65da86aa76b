// SmolLM3: Llama's shape, but every fourth layer is without rotary embedding.
#include "pipeline/family/family.h"
#include "pipeline/family/tensors.h"

namespace quantfleet::pipeline {

const Family& Smollm3() {
  static constexpr HfClass kClasses[] = {{"SmolLM3ForCausalLM", "smollm3"}};
  static constexpr FamilyTensor kTensors[] = {
      tensors::kEmbedding, tensors::kAttnNorm,   tensors::kQ,          tensors::kK,
      tensors::kV,         tensors::kAttnOutput, tensors::kFfnNorm,    tensors::kGate,
      tensors::kUp,        tensors::kDown,       tensors::kOutputNorm, tensors::kHead};
  static constexpr ConfigMember kConfigMembers[] = {ConfigMember::kHeadDim,
                                                    ConfigMember::kNoRopeLayers};
  static constexpr Family kFamily{
      .name = "smollm3",
      .classes = kClasses,
      .tensors = kTensors,
      .tied_by_default = true,
      .unturned_every = 4,
      .gguf_rows = RowOrder::kInterleaved,
      .config_members = kConfigMembers,
      .mlx_reads_head_dim = true,
      .genai_type = "llama",  // before 0.9.1 it has no word for this one, and it treats both alike
  };
  return kFamily;
}

}  // namespace quantfleet::pipeline
