#include "pipeline/family/cut_pieces.h"

#include <algorithm>
#include <unordered_map>

#include "pipeline/family/shapes.h"
#include "pipeline/family/validate.h"

namespace quantfleet::pipeline {
namespace {

class Cutter {
 public:
  Cutter(Dialect dialect, ModelDescription& model)
      : dialect_(dialect), family_(*model.family), model_(model) {
    for (size_t i = 0; i < model.tensors.size(); ++i) by_name_.emplace(model.tensors[i].name, i);
    used_.resize(model.tensors.size(), false);
  }

  absl::Status Run() {
    QF_RETURN_IF_ERROR(ValidateBiases(family_, HasBiases()));
    model_.pieces.clear();
    for (const PieceName& piece : CanonicalPieces(family_, model_.hyper, HasOptional()))
      QF_RETURN_IF_ERROR(Cut(piece));
    for (size_t i = 0; i < used_.size(); ++i)
      if (!used_[i])
        return InvalidArgument(
            "tensor '{}' does not belong to a {} model whose number of layers is {}{}, as its "
            "configuration says: is this another architecture?",
            model_.tensors[i].name, family_.name, model_.hyper.layers,
            CountOfExperts(IsOfAnotherExpert(model_.tensors[i].name)));
    return absl::OkStatus();
  }

 private:
  bool Has(Role role, int layer) const {
    return by_name_.contains(TensorName(family_, dialect_, role, layer));
  }

  // What an expert's tensor, which is missing or has no place, is held against; nothing of others.
  std::string CountOfExperts(bool of_expert) const {
    if (!of_expert || !family_.experts) return "";
    const Spelled& count = family_.experts->count;
    return fmt::format(" ({} is {})", dialect_ == Dialect::kGguf ? count.gguf : count.hf,
                       model_.hyper.experts);
  }

  // Whether the tensor is that of an expert behind the last one.
  bool IsOfAnotherExpert(std::string_view name) const {
    for (const FamilyTensor& tensor : family_.tensors) {
      const size_t star = tensor.name.hf.find('*');
      if (dialect_ == Dialect::kHf && star != std::string_view::npos &&
          name.ends_with(tensor.name.hf.substr(star + 1)) &&
          name.find(fmt::format(".{}", tensor.name.hf.substr(0, star))) != std::string_view::npos)
        return true;
    }
    return false;
  }

  // On q, k and v, each by itself or in one tensor.
  bool HasBiases() const {
    if (FindTensor(family_, Role::kAttnQBias) == nullptr) return false;
    const FusedTensor* fused = FindFused(family_, Role::kAttnQBias);
    return Has(Role::kAttnQBias, 0) ||
           (fused != nullptr &&
            by_name_.contains(LayerTensorName(family_, dialect_, fused->name, 0)));
  }

  // The first layer speaks for all, and the first of its tensors that may be absent for the others.
  bool HasOptional() const {
    const auto first =
        std::ranges::find(family_.tensors, Presence::kOptional, &FamilyTensor::presence);
    return first != family_.tensors.end() && Has(first->role, 0);
  }

  // The fused tensor that may hold the piece; null where the source has its parts apart. GGUF calls
  // one as it calls its last part alone: only the missing first part tells which it is.
  const FusedTensor* Fused(const PieceName& piece) const {
    const FusedTensor* fused = FindFused(family_, piece.role);
    const bool spelled =
        fused != nullptr && (dialect_ == Dialect::kHf || !fused->name.gguf.empty());
    return !spelled || Has(fused->roles.front(), piece.layer) ? nullptr : fused;
  }

  int64_t RowInFused(const FusedTensor& fused, Role role) const {
    if (fused.alternates) return std::ranges::find(fused.roles, role) - fused.roles.begin();
    int64_t row = 0;
    for (const Role before : fused.roles) {
      if (before == role) break;
      const Shape shape = ShapeOf(model_.hyper, before);
      row += shape.dims == 1 ? shape.cols : shape.rows;
    }
    return row;
  }

  absl::Status Cut(const PieceName& piece) {
    const std::string own = TensorName(family_, dialect_, piece.role, piece.layer, piece.expert);
    const FusedTensor* fused = Fused(piece);
    const std::string fused_name =
        fused == nullptr ? "" : LayerTensorName(family_, dialect_, fused->name, piece.layer);
    auto it = fused == nullptr ? by_name_.end() : by_name_.find(fused_name);
    const bool is_fused = it != by_name_.end();
    if (!is_fused) it = by_name_.find(own);
    if (it == by_name_.end())
      return InvalidArgument(
          "tensor '{}'{} is missing: the source is incomplete, or its number of layers is not "
          "{}{}, as its configuration says",
          own, fused == nullptr || fused_name == own ? "" : fmt::format(" (or '{}')", fused_name),
          model_.hyper.layers, CountOfExperts(piece.expert >= 0));
    used_[it->second] = true;
    const Shape shape = ShapeOf(model_.hyper, piece.role);
    const int64_t step =
        is_fused && fused->alternates ? static_cast<int64_t>(fused->roles.size()) : 1;
    const bool stacked = piece.expert >= 0 && StacksExperts(family_, dialect_, piece.role);
    model_.pieces.push_back({.role = piece.role,
                             .layer = piece.layer,
                             .rows = shape.rows,
                             .cols = shape.cols,
                             .dims = shape.dims,
                             .tensor = it->second,
                             .first_row = (is_fused ? RowInFused(*fused, piece.role) : 0) +
                                          (stacked ? piece.expert * shape.rows * step : 0),
                             .order = RowOrderOf(family_, dialect_, piece.role),
                             .lacks = LackOf(family_, dialect_, piece.role),
                             .expert = piece.expert,
                             .step = step});
    return absl::OkStatus();
  }

  const Dialect dialect_;
  const Family& family_;
  ModelDescription& model_;
  std::unordered_map<std::string, size_t> by_name_;
  std::vector<bool> used_;
};

}  // namespace

absl::Status CutPieces(Dialect dialect, ModelDescription& model) {
  if (model.family == nullptr) return Internal("a model without a family cannot be cut");
  // Before the cut: its work grows with the number of layers.
  QF_RETURN_IF_ERROR(ValidateHyperparameters(*model.family, model.hyper));
  QF_RETURN_IF_ERROR(Cutter(dialect, model).Run());
  return Validate(model);
}

}  // namespace quantfleet::pipeline
