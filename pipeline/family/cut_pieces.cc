#include "pipeline/family/cut_pieces.h"

#include <optional>
#include <unordered_map>

#include "pipeline/family/shapes.h"

namespace quantfleet::pipeline {
namespace {

class Cutter {
 public:
  Cutter(const TensorNames& names, RowOrder qk_order, ModelDescription& model)
      : names_(names), qk_order_(qk_order), model_(model) {
    for (size_t i = 0; i < model.tensors.size(); ++i) by_name_.emplace(model.tensors[i].name, i);
    used_.resize(model.tensors.size(), false);
  }

  absl::Status Run() {
    const bool biases = by_name_.contains(names_.Of(Role::kAttnQBias, 0));
    model_.pieces.clear();
    for (const PieceName& piece : CanonicalPieces(model_.hyper, biases))
      QF_RETURN_IF_ERROR(Cut(piece));
    for (size_t i = 0; i < used_.size(); ++i)
      if (!used_[i])
        return InvalidArgument(
            "tensor '{}' is not a part of a {} model: is this another architecture?",
            model_.tensors[i].name, Name(model_.architecture));
    return absl::OkStatus();
  }

 private:
  // The name of the fused tensor that may hold the piece; empty when nothing fuses this role.
  std::string FusedName(const PieceName& piece) const {
    switch (piece.role) {
      case Role::kAttnQ:
      case Role::kAttnK:
      case Role::kAttnV:
        return names_.FusedQkv(piece.layer);
      case Role::kFfnGate:
        return names_.FusedGateUp(piece.layer);
      // GGUF calls the fused tensor as it calls up alone: only a missing gate tells which it is.
      case Role::kFfnUp:
        return by_name_.contains(names_.Of(Role::kFfnGate, piece.layer))
                   ? ""
                   : names_.FusedGateUp(piece.layer);
      default:
        return "";
    }
  }

  int64_t RowInFused(Role role) const {
    const int64_t q = ShapeOf(model_.hyper, Role::kAttnQ).rows,
                  k = ShapeOf(model_.hyper, Role::kAttnK).rows;
    switch (role) {
      case Role::kAttnK:
        return q;
      case Role::kAttnV:
        return q + k;
      case Role::kFfnUp:
        return model_.hyper.intermediate;
      default:
        return 0;
    }
  }

  absl::Status Cut(const PieceName& piece) {
    const std::string own = names_.Of(piece.role, piece.layer), fused = FusedName(piece);
    auto it = fused.empty() || (piece.role == Role::kFfnGate && by_name_.contains(own))
                  ? by_name_.end()
                  : by_name_.find(fused);
    const bool is_fused = it != by_name_.end();
    if (!is_fused) it = by_name_.find(own);
    if (it == by_name_.end())
      return InvalidArgument("tensor '{}'{} is missing: the source is incomplete", own,
                             fused.empty() || fused == own ? "" : fmt::format(" (or '{}')", fused));
    used_[it->second] = true;
    const Shape shape = ShapeOf(model_.hyper, piece.role);
    const bool rotated = piece.role == Role::kAttnQ || piece.role == Role::kAttnK ||
                         piece.role == Role::kAttnQBias || piece.role == Role::kAttnKBias;
    model_.pieces.push_back({.role = piece.role,
                             .layer = piece.layer,
                             .rows = shape.rows,
                             .cols = shape.cols,
                             .dims = shape.dims,
                             .tensor = it->second,
                             .first_row = is_fused ? RowInFused(piece.role) : 0,
                             .order = rotated ? qk_order_ : RowOrder::kHf});
    return absl::OkStatus();
  }

  const TensorNames& names_;
  const RowOrder qk_order_;
  ModelDescription& model_;
  std::unordered_map<std::string, size_t> by_name_;
  std::vector<bool> used_;
};

}  // namespace

absl::Status CutPieces(const TensorNames& names, RowOrder qk_order, ModelDescription& model) {
  // Before the cut: its work grows with the number of layers.
  QF_RETURN_IF_ERROR(ValidateHyperparameters(model.architecture, model.hyper));
  QF_RETURN_IF_ERROR(Cutter(names, qk_order, model).Run());
  return Validate(model);
}

}  // namespace quantfleet::pipeline
