#include "pipeline/model/role.h"

#include <array>

namespace quantfleet::pipeline {
namespace {

using enum Extent;

constexpr std::array kTable{
    RoleInfo{Role::kTokenEmbedding, "token_embedding", kVocab, kHidden, /*of_layer=*/false},
    RoleInfo{Role::kPositionEmbedding, "position_embedding", kContext, kHidden, /*of_layer=*/false},
    RoleInfo{Role::kTokenTypes, "token_types", kTokenTypes, kHidden, /*of_layer=*/false},
    RoleInfo{Role::kEmbeddingNorm, "embedding_norm", kOne, kHidden, /*of_layer=*/false, false,
             Role::kEmbeddingNormBias},
    RoleInfo{Role::kEmbeddingNormBias, "embedding_norm_bias", kOne, kHidden, /*of_layer=*/false},
    RoleInfo{Role::kOutputNorm, "output_norm", kOne, kHidden, /*of_layer=*/false, false,
             Role::kOutputNormBias},
    RoleInfo{Role::kOutputNormBias, "output_norm_bias", kOne, kHidden, /*of_layer=*/false},
    RoleInfo{Role::kOutputHead, "output_head", kVocab, kHidden, /*of_layer=*/false, false,
             Role::kOutputHeadBias},
    RoleInfo{Role::kOutputHeadBias, "output_head_bias", kOne, kVocab, /*of_layer=*/false},
    RoleInfo{Role::kAttnNorm, "attn_norm", kOne, kHidden, true, false, Role::kAttnNormBias},
    RoleInfo{Role::kAttnNormBias, "attn_norm_bias", kOne, kHidden},
    RoleInfo{Role::kAttnQ, "attn_q", kQueries, kHidden, true, /*rotated=*/true, Role::kAttnQBias},
    RoleInfo{Role::kAttnK, "attn_k", kKeys, kHidden, true, /*rotated=*/true, Role::kAttnKBias},
    RoleInfo{Role::kAttnV, "attn_v", kKeys, kHidden, true, false, Role::kAttnVBias},
    RoleInfo{Role::kAttnQBias, "attn_q_bias", kOne, kQueries, true, /*rotated=*/true},
    RoleInfo{Role::kAttnKBias, "attn_k_bias", kOne, kKeys, true, /*rotated=*/true},
    RoleInfo{Role::kAttnVBias, "attn_v_bias", kOne, kKeys},
    RoleInfo{Role::kAttnQNorm, "attn_q_norm", kOne, kHead, true, /*rotated=*/true},
    RoleInfo{Role::kAttnKNorm, "attn_k_norm", kOne, kHead, true, /*rotated=*/true},
    RoleInfo{Role::kAttnOutput, "attn_output", kHidden, kQueries, true, false,
             Role::kAttnOutputBias},
    RoleInfo{Role::kAttnOutputBias, "attn_output_bias", kOne, kHidden},
    RoleInfo{Role::kAttnPostNorm, "attn_post_norm", kOne, kHidden},
    RoleInfo{Role::kAttnOutputNorm, "attn_output_norm", kOne, kHidden, true, false,
             Role::kAttnOutputNormBias},
    RoleInfo{Role::kAttnOutputNormBias, "attn_output_norm_bias", kOne, kHidden},
    RoleInfo{Role::kLayerOutputNorm, "layer_output_norm", kOne, kHidden, true, false,
             Role::kLayerOutputNormBias},
    RoleInfo{Role::kLayerOutputNormBias, "layer_output_norm_bias", kOne, kHidden},
    RoleInfo{Role::kFfnNorm, "ffn_norm", kOne, kHidden, true, false, Role::kFfnNormBias},
    RoleInfo{Role::kFfnNormBias, "ffn_norm_bias", kOne, kHidden},
    RoleInfo{Role::kFfnGate, "ffn_gate", kIntermediate, kHidden},
    RoleInfo{Role::kFfnUp, "ffn_up", kIntermediate, kHidden, true, false, Role::kFfnUpBias},
    RoleInfo{Role::kFfnUpBias, "ffn_up_bias", kOne, kIntermediate},
    RoleInfo{Role::kFfnDown, "ffn_down", kHidden, kIntermediate, true, false, Role::kFfnDownBias},
    RoleInfo{Role::kFfnDownBias, "ffn_down_bias", kOne, kHidden},
    RoleInfo{Role::kFfnPostNorm, "ffn_post_norm", kOne, kHidden},
    RoleInfo{Role::kFfnRouter, "ffn_router", kExperts, kHidden, true, false, Role::kFfnRouterBias},
    RoleInfo{Role::kFfnGateExpert, "ffn_gate_expert", kExpertWidth, kHidden, true, false,
             Role::kFfnGateExpertBias, /*of_expert=*/true},
    RoleInfo{Role::kFfnUpExpert, "ffn_up_expert", kExpertWidth, kHidden, true, false,
             Role::kFfnUpExpertBias, /*of_expert=*/true},
    RoleInfo{Role::kFfnDownExpert, "ffn_down_expert", kHidden, kExpertWidth, true, false,
             Role::kFfnDownExpertBias, /*of_expert=*/true},
    RoleInfo{Role::kFfnRouterBias, "ffn_router_bias", kOne, kExperts},
    RoleInfo{Role::kFfnGateExpertBias, "ffn_gate_expert_bias", kOne, kExpertWidths, true, false,
             std::nullopt, false, /*by_expert=*/true},
    RoleInfo{Role::kFfnUpExpertBias, "ffn_up_expert_bias", kOne, kExpertWidths, true, false,
             std::nullopt, false, /*by_expert=*/true},
    RoleInfo{Role::kFfnDownExpertBias, "ffn_down_expert_bias", kOne, kExpertHiddens, true, false,
             std::nullopt, false, /*by_expert=*/true},
    RoleInfo{Role::kAttnSinks, "attn_sinks", kOne, kHeads},
};

constexpr bool EachInItsPlace() {
  for (size_t i = 0; i < kTable.size(); ++i)
    if (kTable[i].role != static_cast<Role>(i)) return false;
  return kTable.size() == kRoles;
}
static_assert(EachInItsPlace());

}  // namespace

const RoleInfo& Info(Role role) { return kTable[static_cast<size_t>(role)]; }

std::span<const RoleInfo> Roles() { return kTable; }

}  // namespace quantfleet::pipeline
