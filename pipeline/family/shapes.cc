#include "pipeline/family/shapes.h"

namespace quantfleet::pipeline {

Shape ShapeOf(const Hyperparameters& h, Role role) {
  const int64_t q = h.heads * h.head_dim, kv = h.kv_heads * h.head_dim;
  switch (role) {
    case Role::kTokenEmbedding:
    case Role::kOutputHead:
      return {h.vocab, h.hidden, 2};
    case Role::kOutputNorm:
    case Role::kAttnNorm:
    case Role::kFfnNorm:
      return {1, h.hidden, 1};
    case Role::kAttnQ:
      return {q, h.hidden, 2};
    case Role::kAttnK:
    case Role::kAttnV:
      return {kv, h.hidden, 2};
    case Role::kAttnQBias:
      return {1, q, 1};
    case Role::kAttnKBias:
    case Role::kAttnVBias:
      return {1, kv, 1};
    case Role::kAttnOutput:
      return {h.hidden, q, 2};
    case Role::kFfnGate:
    case Role::kFfnUp:
      return {h.intermediate, h.hidden, 2};
    case Role::kFfnDown:
      return {h.hidden, h.intermediate, 2};
  }
  return {0, 0, 0};
}

std::string_view ShapeFormula(Role role) {
  switch (role) {
    case Role::kTokenEmbedding:
    case Role::kOutputHead:
      return "vocab_size x hidden_size";
    case Role::kOutputNorm:
    case Role::kAttnNorm:
    case Role::kFfnNorm:
      return "hidden_size";
    case Role::kAttnQ:
      return "(num_attention_heads * head_dim) x hidden_size";
    case Role::kAttnK:
    case Role::kAttnV:
      return "(num_key_value_heads * head_dim) x hidden_size";
    case Role::kAttnQBias:
      return "num_attention_heads * head_dim";
    case Role::kAttnKBias:
    case Role::kAttnVBias:
      return "num_key_value_heads * head_dim";
    case Role::kAttnOutput:
      return "hidden_size x (num_attention_heads * head_dim)";
    case Role::kFfnGate:
    case Role::kFfnUp:
      return "intermediate_size x hidden_size";
    case Role::kFfnDown:
      return "hidden_size x intermediate_size";
  }
  return "";
}

std::vector<PieceName> CanonicalPieces(const Hyperparameters& hyper, bool qkv_biases) {
  std::vector<PieceName> pieces{{Role::kTokenEmbedding, -1}};
  for (int layer = 0; layer < static_cast<int>(hyper.layers); ++layer) {
    for (const Role role : {Role::kAttnNorm, Role::kAttnQ, Role::kAttnK, Role::kAttnV})
      pieces.push_back({role, layer});
    if (qkv_biases)
      for (const Role role : {Role::kAttnQBias, Role::kAttnKBias, Role::kAttnVBias})
        pieces.push_back({role, layer});
    for (const Role role :
         {Role::kAttnOutput, Role::kFfnNorm, Role::kFfnGate, Role::kFfnUp, Role::kFfnDown})
      pieces.push_back({role, layer});
  }
  pieces.push_back({Role::kOutputNorm, -1});
  if (!hyper.tied_embeddings) pieces.push_back({Role::kOutputHead, -1});
  return pieces;
}

}  // namespace quantfleet::pipeline
