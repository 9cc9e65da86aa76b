// Gemma, the first generation: norms that files of Hugging Face keep as w and compute as w + 1, an
// embedding scaled by its width, GELU for the gate, a head size of its own, always tied.
#include "pipeline/family/family.h"
#include "pipeline/family/tensors.h"

namespace quantfleet::pipeline {

const Family& Gemma() {
  static constexpr HfClass kClasses[] = {{"GemmaForCausalLM", "gemma"}};
  static constexpr FamilyTensor kTensors[] = {tensors::kEmbedding,
                                              tensors::LessOne(tensors::kAttnNorm),
                                              tensors::kQ,
                                              tensors::kK,
                                              tensors::kV,
                                              tensors::kAttnOutput,
                                              tensors::LessOne(tensors::kFfnNorm),
                                              tensors::kGate,
                                              tensors::kUp,
                                              tensors::kDown,
                                              tensors::LessOne(tensors::kOutputNorm)};
  static constexpr ConfigMember kConfigMembers[] = {ConfigMember::kHeadDim};
  static constexpr Family kFamily{
      .name = "gemma",
      .classes = kClasses,
      .tensors = kTensors,
      .tied_by_default = true,
      .activation = Activation::kGeluTanh,
      .hidden_act = kGemmaGeluNames,
      .scales_embedding_by_root = true,
      .config_members = kConfigMembers,
      .mlx_reads_head_dim = true,
      .mlx_scales_rope = false,
  };
  return kFamily;
}

}  // namespace quantfleet::pipeline
