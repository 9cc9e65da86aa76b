// Gemma 2: the first Gemma with a norm behind attention and one behind the feed-forward part, caps
// on scores and logits, and a window in every other layer.
#include "pipeline/family/family.h"
#include "pipeline/family/tensors.h"

namespace quantfleet::pipeline {

const Family& Gemma2() {
  static constexpr std::string_view kDefaults =
      R"({"head_dim": 256, "query_pre_attn_scalar": 256, "sliding_window": 4096})";
  static constexpr HfClass kClasses[] = {{.name = "Gemma2ForCausalLM",
                                          .model_type = "gemma2",
                                          .window = Window::kInAttention,
                                          .config_defaults = kDefaults}};
  static constexpr FamilyTensor kTensors[] = {tensors::kEmbedding,
                                              tensors::LessOne(tensors::kAttnNorm),
                                              tensors::kQ,
                                              tensors::kK,
                                              tensors::kV,
                                              tensors::kAttnOutput,
                                              tensors::LessOne(tensors::kAttnPostNorm),
                                              tensors::LessOne(tensors::kPreFfnNorm),
                                              tensors::kGate,
                                              tensors::kUp,
                                              tensors::kDown,
                                              tensors::LessOne(tensors::kFfnPostNorm),
                                              tensors::LessOne(tensors::kOutputNorm)};
  static constexpr FamilyScalar kScalars[] = {
      {&Hyperparameters::score_cap, {"attn_logit_softcapping", "attn_logit_softcapping"}, 50.f},
      {&Hyperparameters::logit_cap, {"final_logit_softcapping", "final_logit_softcapping"}, 30.f},
  };
  static constexpr ConfigMember kConfigMembers[] = {
      ConfigMember::kHeadDim, ConfigMember::kHiddenActivation, ConfigMember::kQueryScalar,
      ConfigMember::kSlidingWindow, ConfigMember::kWindowPattern};
  static constexpr Family kFamily{
      .name = "gemma2",
      .classes = kClasses,
      .tensors = kTensors,
      .tied_by_default = true,
      .activation = Activation::kGeluTanh,
      .hidden_act = kGemmaGeluNames,
      .scalars = kScalars,
      .scales_embedding_by_root = true,
      .full_every = 2,
      .default_window = 4096,
      .wide_scores_layers = 46,
      .config_members = kConfigMembers,
      .mlx_reads_head_dim = true,
      .mlx_scales_rope = false,
      .mlx_slides = false,
  };
  return kFamily;
}

}  // namespace quantfleet::pipeline
