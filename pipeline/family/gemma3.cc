// Gemma 3's text: Gemma 2 with norms of each head of q and k in place of the caps, a window and a
// rotary base of their own in five of six layers. Models that also see images are taken as text.
#include "pipeline/family/family.h"
#include "pipeline/family/tensors.h"

namespace quantfleet::pipeline {

const Family& Gemma3() {
  // What transformers' classes mean, of which the files of the models with images make use.
  static constexpr std::string_view kDefaults = R"({
      "vocab_size": 262208, "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256,
      "max_position_embeddings": 131072, "rms_norm_eps": 1e-6, "rope_theta": 1000000.0,
      "query_pre_attn_scalar": 256, "sliding_window": 4096})";
  static constexpr HfClass kClasses[] = {
      {.name = "Gemma3ForCausalLM",
       .model_type = "gemma3_text",
       .window = Window::kInAttention,
       .config_defaults = kDefaults},
      {.name = "Gemma3ForConditionalGeneration",
       .model_type = "gemma3",
       .window = Window::kInAttention,
       .text_part = true,
       .config_defaults = kDefaults},
  };
  static constexpr FamilyTensor kTensors[] = {tensors::kEmbedding,
                                              tensors::LessOne(tensors::kAttnNorm),
                                              tensors::kQ,
                                              tensors::kK,
                                              tensors::kV,
                                              tensors::LessOne(tensors::kQNorm),
                                              tensors::LessOne(tensors::kKNorm),
                                              tensors::kAttnOutput,
                                              tensors::LessOne(tensors::kAttnPostNorm),
                                              tensors::LessOne(tensors::kPreFfnNorm),
                                              tensors::kGate,
                                              tensors::kUp,
                                              tensors::kDown,
                                              tensors::LessOne(tensors::kFfnPostNorm),
                                              tensors::LessOne(tensors::kOutputNorm),
                                              tensors::kHead};
  static constexpr ConfigMember kConfigMembers[] = {
      ConfigMember::kHeadDim,       ConfigMember::kHiddenActivation, ConfigMember::kQueryScalar,
      ConfigMember::kSlidingWindow, ConfigMember::kWindowPattern,    ConfigMember::kLocalRopeTheta};
  static constexpr Family kFamily{
      .name = "gemma3",
      .classes = kClasses,
      .tensors = kTensors,
      .tied_by_default = true,
      .activation = Activation::kGeluTanh,
      .hidden_act = kGemmaGeluNames,
      .scales_embedding_by_root = true,
      .full_every = 6,
      .sliding_rope_theta = 10000,
      .wide_scores_layers = 62,
      .config_members = kConfigMembers,
      .mlx_reads_head_dim = true,
  };
  return kFamily;
}

}  // namespace quantfleet::pipeline
