#include "pipeline/family/family.h"

#include <algorithm>
#include <cmath>

#include "common/base/status.h"

namespace quantfleet::pipeline {
namespace {

std::string_view In(Dialect dialect, const Spelled& spelled) {
  if (dialect == Dialect::kGguf) return spelled.gguf;
  return dialect == Dialect::kMlx && !spelled.mlx.empty() ? spelled.mlx : spelled.hf;
}

}  // namespace

const Family* FindFamily(std::string_view name) {
  const auto it = std::ranges::find(Families(), name, &Family::name);
  return it == Families().end() ? nullptr : *it;
}

std::string FamilyNames(bool Family::* which) {
  std::vector<std::string_view> names;
  for (const Family* family : Families())
    if (which == nullptr || family->*which) names.push_back(family->name);
  std::string text;
  for (size_t i = 0; i < names.size(); ++i)
    text += fmt::format("{}{}", i == 0 ? "" : i + 1 == names.size() ? " and " : ", ", names[i]);
  return text;
}

const FamilyTensor* FindTensor(const Family& family, Role role) {
  const auto it = std::ranges::find(family.tensors, role, &FamilyTensor::role);
  return it == family.tensors.end() ? nullptr : &*it;
}

bool IsOptional(const Family& family, Role role) {
  const FamilyTensor* tensor = FindTensor(family, role);
  return tensor != nullptr && tensor->presence == Presence::kOptional;
}

const FusedTensor* FindFused(const Family& family, Role role) {
  const auto it = std::ranges::find_if(family.fused, [role](const FusedTensor& fused) {
    return std::ranges::find(fused.roles, role) != fused.roles.end();
  });
  return it == family.fused.end() ? nullptr : &*it;
}

int64_t QueryScalar(const Family& family, const Hyperparameters& hyper) {
  const bool wide = family.wide_scores_layers > 0 && hyper.layers == family.wide_scores_layers;
  return wide && hyper.heads > 0 ? hyper.hidden / hyper.heads : hyper.head_dim;
}

float AttentionScaleOf(const Family& family, const Hyperparameters& hyper) {
  const int64_t scalar = QueryScalar(family, hyper);
  return scalar == hyper.head_dim || scalar < 1 ? 0 : 1 / std::sqrt(static_cast<float>(scalar));
}

std::optional<int64_t> PeriodOf(const std::vector<bool>& layers, int64_t wanted) {
  const auto follows = [&](int64_t period) {
    if (period < 1) return false;
    for (size_t i = 0; i < layers.size(); ++i)
      if (layers[i] != ((static_cast<int64_t>(i) + 1) % period == 0)) return false;
    return true;
  };
  if (follows(wanted)) return wanted;
  const auto first = std::ranges::find(layers, true) - layers.begin() + 1;
  return follows(first) ? std::optional<int64_t>(first) : std::nullopt;
}

bool TurnsLayer(const Family& family, int64_t layer) {
  return family.unturned_every == 0 || (layer + 1) % family.unturned_every != 0;
}

bool StacksExperts(const Family& family, Dialect dialect, Role role) {
  const FamilyTensor* tensor = FindTensor(family, role);
  return tensor != nullptr && Info(role).of_expert &&
         In(dialect, tensor->name).find('*') == std::string_view::npos;
}

std::string LayerTensorName(const Family& family, Dialect dialect, const Spelled& name, int layer,
                            int expert) {
  std::string own(In(dialect, name));
  if (const size_t star = own.find('*'); star != std::string::npos) {
    if (expert < 0) {
      own.erase(star, 2);  // "*."
    } else {
      own.replace(star, 1, fmt::format("{}", expert));
    }
  }
  return fmt::format("{}.{}.{}", In(dialect, family.layer), layer, own);
}

std::string TensorName(const Family& family, Dialect dialect, Role role, int layer, int expert) {
  const FamilyTensor* tensor = FindTensor(family, role);
  if (tensor == nullptr) return "";
  return Info(role).of_layer ? LayerTensorName(family, dialect, tensor->name, layer, expert)
                             : std::string(In(dialect, tensor->name));
}

std::string HoldingTensorName(const Family& family, Dialect dialect, Role role, int layer,
                              int expert) {
  const FusedTensor* fused = family.writes_fused ? FindFused(family, role) : nullptr;
  return fused != nullptr ? LayerTensorName(family, dialect, fused->name, layer, expert)
                          : TensorName(family, dialect, role, layer, expert);
}

float LackOf(const Family& family, Dialect dialect, Role role) {
  const FamilyTensor* tensor = FindTensor(family, role);
  return dialect != Dialect::kGguf && tensor != nullptr ? tensor->hf_lacks : 0;
}

float EmbeddingScale(const Family& family, const Hyperparameters& hyper) {
  return family.scales_embedding_by_root ? std::sqrt(static_cast<float>(hyper.hidden))
                                         : hyper.embedding_scale;
}

RowOrder RowOrderOf(const Family& family, Dialect dialect, Role role) {
  return dialect == Dialect::kGguf && Info(role).rotated ? family.gguf_rows : RowOrder::kHf;
}

}  // namespace quantfleet::pipeline
