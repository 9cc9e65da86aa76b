// What the tensors of a model are for, and what follows from that alone: a name, a shape in terms
// of the hyper-parameters, whether rotary embedding turns the rows. One row per role; a new role is
// an enumerator here and a row in role.cc. Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string_view>

namespace quantfleet::pipeline {

// A logical piece: what a fused tensor is made of, so that chunks restart at the same places
// whether a source or a target fuses q, k, v (or gate, up) or not. The numbers are nowhere stored.
enum class Role {
  kTokenEmbedding,
  kPositionEmbedding,  // added to it, a row per position, and a row per type of token
  kTokenTypes,
  kEmbeddingNorm,  // of the sum
  kEmbeddingNormBias,
  kOutputNorm,
  kOutputNormBias,
  kOutputHead,
  kOutputHeadBias,
  kAttnNorm,
  kAttnNormBias,
  kAttnQ,
  kAttnK,
  kAttnV,
  kAttnQBias,
  kAttnKBias,
  kAttnVBias,
  kAttnQNorm,  // of each head of q, before it turns
  kAttnKNorm,
  kAttnOutput,
  kAttnOutputBias,
  kAttnPostNorm,    // of what attention adds
  kAttnOutputNorm,  // of an encoder: behind what attention and the feed-forward part are added to
  kAttnOutputNormBias,
  kLayerOutputNorm,
  kLayerOutputNormBias,
  kFfnNorm,
  kFfnNormBias,
  kFfnGate,
  kFfnUp,
  kFfnUpBias,
  kFfnDown,
  kFfnDownBias,
  kFfnPostNorm,    // of what the feed-forward part adds
  kFfnRouter,      // a row of scores per expert
  kFfnGateExpert,  // of each expert, as all roles of experts
  kFfnUpExpert,
  kFfnDownExpert,
  kFfnRouterBias,
  kFfnGateExpertBias,
  kFfnUpExpertBias,
  kFfnDownExpertBias,
  kAttnSinks,  // of each head, a score that no position has
};
inline constexpr size_t kRoles = static_cast<size_t>(Role::kAttnSinks) + 1;

// A length that the hyper-parameters fix.
enum class Extent {
  kOne,            // as rows: a vector
  kVocab,          // vocab
  kContext,        // context
  kTokenTypes,     // token_types
  kHidden,         // hidden
  kIntermediate,   // intermediate
  kQueries,        // heads * head_dim
  kKeys,           // kv_heads * head_dim; of values too
  kHead,           // head_dim
  kExperts,        // experts
  kExpertWidth,    // expert_width
  kExpertWidths,   // experts * expert_width
  kExpertHiddens,  // experts * hidden
  kHeads,          // heads
};

struct RoleInfo {
  Role role;
  std::string_view name;  // "attn_q"
  Extent rows, cols;
  bool of_layer = true;  // false: once in a model
  // Whether rotary embedding turns pairs of its rows (of a vector: its elements), so that formats
  // may have them in another order.
  bool rotated = false;
  // What is added to the product with it, or to the norm, where a family has that.
  std::optional<Role> bias = std::nullopt;
  bool of_expert = false;  // a layer has one of each expert
  // A vector with a part for each expert, which files have as a matrix of a row for each.
  bool by_expert = false;
};

const RoleInfo& Info(Role role);
std::span<const RoleInfo> Roles();  // by number
inline std::string_view Name(Role role) { return Info(role).name; }

}  // namespace quantfleet::pipeline
