// BERT and what is built like it (MiniLM, BGE, E5): an encoder with learned positions and token
// types, LayerNorm behind each part, biases everywhere, GELU by erf without a gate. Its models make
// embeddings and generate no text.
#include "pipeline/family/family.h"

namespace quantfleet::pipeline {

const Family& Bert() {
  static constexpr HfClass kClasses[] = {
      {.name = "BertModel", .model_type = "bert", .headless = true}};
  static constexpr FamilyTensor kTensors[] = {
      {Role::kTokenEmbedding, {"embeddings.word_embeddings.weight", "token_embd.weight"}},
      {Role::kPositionEmbedding, {"embeddings.position_embeddings.weight", "position_embd.weight"}},
      {Role::kTokenTypes, {"embeddings.token_type_embeddings.weight", "token_types.weight"}},
      {Role::kEmbeddingNorm, {"embeddings.LayerNorm.weight", "token_embd_norm.weight"}},
      {Role::kEmbeddingNormBias, {"embeddings.LayerNorm.bias", "token_embd_norm.bias"}},
      {Role::kAttnQ, {"attention.self.query.weight", "attn_q.weight"}},
      {Role::kAttnK, {"attention.self.key.weight", "attn_k.weight"}},
      {Role::kAttnV, {"attention.self.value.weight", "attn_v.weight"}},
      {Role::kAttnQBias, {"attention.self.query.bias", "attn_q.bias"}},
      {Role::kAttnKBias, {"attention.self.key.bias", "attn_k.bias"}},
      {Role::kAttnVBias, {"attention.self.value.bias", "attn_v.bias"}},
      {Role::kAttnOutput, {"attention.output.dense.weight", "attn_output.weight"}},
      {Role::kAttnOutputBias, {"attention.output.dense.bias", "attn_output.bias"}},
      {Role::kAttnOutputNorm, {"attention.output.LayerNorm.weight", "attn_output_norm.weight"}},
      {Role::kAttnOutputNormBias, {"attention.output.LayerNorm.bias", "attn_output_norm.bias"}},
      {Role::kFfnUp, {"intermediate.dense.weight", "ffn_up.weight"}},
      {Role::kFfnUpBias, {"intermediate.dense.bias", "ffn_up.bias"}},
      {Role::kFfnDown, {"output.dense.weight", "ffn_down.weight"}},
      {Role::kFfnDownBias, {"output.dense.bias", "ffn_down.bias"}},
      {Role::kLayerOutputNorm, {"output.LayerNorm.weight", "layer_output_norm.weight"}},
      {Role::kLayerOutputNormBias, {"output.LayerNorm.bias", "layer_output_norm.bias"}},
  };
  // Of a classifier on top, and what every runtime counts for itself.
  static constexpr std::string_view kLeftOut[] = {"pooler.dense.weight", "pooler.dense.bias",
                                                  "embeddings.position_ids"};
  static constexpr Family kFamily{
      .name = "bert",
      .classes = kClasses,
      .tensors = kTensors,
      .layer = {"encoder.layer", "blk"},
      .left_out = kLeftOut,
      .tied_by_default = true,
      .encoder = true,
      .norm = Norm::kLayer,
      .epsilon = {"layer_norm_eps", "attention.layer_norm_epsilon"},
      .activation = Activation::kGeluErf,
      .hidden_act = kGeluErfNames,
      .unturned_every = 1,
      .mlx_pools = Pooling::kMean,
  };
  return kFamily;
}

}  // namespace quantfleet::pipeline
