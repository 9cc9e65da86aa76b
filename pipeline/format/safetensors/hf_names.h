// How Hugging Face checkpoints spell the tensors of the architectures that we know. Pure.
#pragma once

#include <string>
#include <string_view>

#include "pipeline/family/cut_pieces.h"

namespace quantfleet::pipeline {

class HfNames final : public TensorNames {
 public:
  std::string Of(Role role, int layer) const override;  // "model.layers.3.self_attn.q_proj.weight"
  std::string FusedQkv(int layer) const override;
  std::string FusedGateUp(int layer) const override;
};

// The name of the tensor that a checkpoint of this architecture keeps the role in: Phi-3 fuses q,
// k, v and gate, up.
std::string HfTensorName(Architecture architecture, Role role, int layer);

// Tensors that some checkpoints carry and that every runtime computes for itself.
bool IsDerivedTensor(std::string_view name);

}  // namespace quantfleet::pipeline
