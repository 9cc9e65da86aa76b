// How GGUF spells the tensors and keys of the architectures that we know (docs/formats/gguf.md).
// Pure.
#pragma once

#include <string>
#include <string_view>

#include "pipeline/family/cut_pieces.h"

namespace quantfleet::pipeline {

inline constexpr std::string_view kRopeFactorsLong = "rope_factors_long.weight";
inline constexpr std::string_view kRopeFactorsShort = "rope_factors_short.weight";
inline constexpr std::string_view kRopeFreqs = "rope_freqs.weight";
// All that ends a generation: not llama.cpp's key, but Ollama's and others'.
inline constexpr std::string_view kEndIdsKey = "tokenizer.ggml.eos_token_ids";

class GgufNames final : public TensorNames {
 public:
  std::string Of(Role role, int layer) const override;  // "blk.3.attn_q.weight"
  std::string FusedQkv(int layer) const override;       // "blk.3.attn_qkv.weight"
  std::string FusedGateUp(int layer) const override;    // "blk.3.ffn_up.weight", as up alone
};

// The tensor of a GGUF of ours, and of llama.cpp's converter, that holds the piece: phi3's are
// fused.
std::string GgufTensorName(Architecture architecture, Role role, int layer);

// llama's rope turns neighbouring rows, HF's checkpoints hold the two halves apart.
inline RowOrder GgufQkOrder(Architecture architecture) {
  return architecture == Architecture::kLlama ? RowOrder::kInterleaved : RowOrder::kHf;
}

}  // namespace quantfleet::pipeline
