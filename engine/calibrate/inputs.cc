#include "engine/calibrate/inputs.h"

#include <algorithm>

namespace quantfleet::engine {
namespace {

using pipeline::Role;

// What the transformer multiplies with one input (engine/decode/transformer.cc).
const std::vector<std::vector<Role>>& Together() {
  static const std::vector<std::vector<Role>> kTogether = {
      {Role::kAttnQ, Role::kAttnK, Role::kAttnV},
      {Role::kAttnOutput},
      {Role::kFfnGate, Role::kFfnUp},
      {Role::kFfnDown},
      {Role::kFfnRouter},
      {Role::kFfnGateExpert, Role::kFfnUpExpert},
      {Role::kFfnDownExpert}};
  return kTogether;
}

}  // namespace

std::vector<LayerInput> InputsOf(const pipeline::ModelDescription& model, int layer) {
  const pipeline::Family& family = *model.family;
  std::vector<LayerInput> inputs;
  for (const std::vector<Role>& together : Together()) {
    LayerInput input;
    for (const Role role : together) {
      const pipeline::Piece* piece = model.Find(role, layer);
      if (piece == nullptr) continue;
      input.cols = piece->cols;
      input.roles.push_back(role);
      const std::string name = HoldingTensorName(family, pipeline::Dialect::kGguf, role, layer);
      if (std::ranges::find(input.names, name) == input.names.end()) input.names.push_back(name);
    }
    if (input.roles.empty()) continue;
    if (Info(input.roles.front()).of_expert) input.matrices = model.hyper.experts;
    input.quantized = input.roles.front() != Role::kFfnRouter;
    // Parts that run side by side read the same norm.
    const bool reads_norm =
        input.roles.front() == Role::kFfnGate || input.roles.front() == Role::kFfnUp;
    if (family.residual == pipeline::Residual::kParallel && reads_norm) input.same_as = 0;
    inputs.push_back(std::move(input));
  }
  if (layer + 1 == model.hyper.layers) {
    for (const pipeline::Piece& piece : model.pieces) {
      if (!IsHead(model, piece)) continue;
      inputs.push_back(
          {.roles = {Role::kOutputHead},
           .names = {HoldingTensorName(family, pipeline::Dialect::kGguf, piece.role, piece.layer)},
           .cols = piece.cols});
    }
  }
  return inputs;
}

}  // namespace quantfleet::engine
