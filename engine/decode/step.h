// What a layer computes on its way, by names that stay: for whoever measures it. Pure.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace quantfleet::engine {

// In the order of computation; a family has those of its parts.
enum class Step : uint8_t {
  kAttnNorm,
  kQueries,  // products with their biases
  kKeys,
  kValues,
  kTurnedQueries,  // normed and turned; times the attention scale where a file says one
  kTurnedKeys,
  kScores,  // of positions that a token sees, before a cap and softmax
  kHeads,   // what heads attend to
  kAttnOutput,
  kAttnPostNorm,
  kAttnResidual,
  kFfnNorm,
  kRouter,
  kGate,
  kUp,
  kActivated,  // the gate's function times up; without a gate the function of up
  kDown,
  kExperts,  // the weighted sum of what the chosen ones make
  kFfnPostNorm,
  kFfnResidual,
  kOutputNorm,  // behind the last layer
  kLogits,
};
inline constexpr std::string_view kStepNames[] = {
    "attn_norm",     "attn_q",      "attn_k",      "attn_v",        "attn_q_turned",
    "attn_k_turned", "attn_scores", "attn_heads",  "attn_output",   "attn_post_norm",
    "attn_residual", "ffn_norm",    "ffn_router",  "ffn_gate",      "ffn_up",
    "ffn_activated", "ffn_down",    "ffn_experts", "ffn_post_norm", "ffn_residual",
    "output_norm",   "logits"};
static_assert(std::size(kStepNames) == static_cast<size_t>(Step::kLogits) + 1);
inline std::string_view Name(Step step) { return kStepNames[static_cast<size_t>(step)]; }
// Whether it comes behind all layers.
inline bool IsOuter(Step step) { return step >= Step::kOutputNorm; }

}  // namespace quantfleet::engine
