#include "pipeline/model/description.h"

#include <algorithm>

#include "common/base/utf8.h"

namespace quantfleet::pipeline {

std::string_view Name(Architecture architecture) {
  switch (architecture) {
    case Architecture::kPhi3:
      return "phi3";
    case Architecture::kLlama:
      return "llama";
    case Architecture::kQwen2:
      return "qwen2";
  }
  return "?";
}

std::string_view Name(Role role) {
  switch (role) {
    case Role::kTokenEmbedding:
      return "token_embedding";
    case Role::kOutputNorm:
      return "output_norm";
    case Role::kOutputHead:
      return "output_head";
    case Role::kAttnNorm:
      return "attn_norm";
    case Role::kAttnQ:
      return "attn_q";
    case Role::kAttnK:
      return "attn_k";
    case Role::kAttnV:
      return "attn_v";
    case Role::kAttnQBias:
      return "attn_q_bias";
    case Role::kAttnKBias:
      return "attn_k_bias";
    case Role::kAttnVBias:
      return "attn_v_bias";
    case Role::kAttnOutput:
      return "attn_output";
    case Role::kFfnNorm:
      return "ffn_norm";
    case Role::kFfnGate:
      return "ffn_gate";
    case Role::kFfnUp:
      return "ffn_up";
    case Role::kFfnDown:
      return "ffn_down";
  }
  return "?";
}

const Piece* ModelDescription::Find(Role role, int layer) const {
  const auto it = std::ranges::find_if(
      pieces, [&](const Piece& p) { return p.role == role && p.layer == layer; });
  return it == pieces.end() ? nullptr : &*it;
}

int64_t ModelDescription::Parameters() const {
  int64_t sum = 0;
  for (const Piece& piece : pieces) sum += piece.rows * piece.cols;
  return sum;
}

std::string PublishableName(std::string_view name) {
  constexpr size_t kLongest = 128;
  if (name.size() > kLongest || !IsUtf8(name)) return "";
  const bool plain =
      std::ranges::none_of(name, [](unsigned char c) { return c < ' ' || c == 0x7f; });
  return plain ? std::string(name) : "";
}

}  // namespace quantfleet::pipeline
