#include "pipeline/family/fold_sites.h"

#include <fmt/format.h>

#include <initializer_list>
#include <map>

#include "pipeline/family/family.h"

namespace quantfleet::pipeline {
namespace {

class LayerSites {
 public:
  LayerSites(const ModelDescription& model, int layer) : model_(model), layer_(layer) {}

  void Know(uint32_t index) {
    const Piece& piece = model_.pieces[index];
    pieces_[piece.role].push_back(index);
  }

  void AddTo(std::vector<FoldSite>& sites) const {
    const Family& family = *model_.family;
    const bool parallel = family.residual == Residual::kParallel;
    if (!family.encoder) {
      FoldSite attention = Site(Role::kAttnNorm, {Role::kAttnNorm, Role::kAttnNormBias},
                                {Role::kAttnQ, Role::kAttnK, Role::kAttnV});
      if (parallel) Append(attention.consumers, FeedForwardInputs());
      Add(std::move(attention), sites);
    }
    FoldSite values = Site(Role::kAttnV, {Role::kAttnV, Role::kAttnVBias}, {Role::kAttnOutput});
    values.run = model_.hyper.head_dim;
    values.repeats = model_.hyper.heads / model_.hyper.kv_heads;
    Add(std::move(values), sites);
    if (!family.encoder && !parallel) {
      FoldSite feed_forward = Site(Role::kFfnNorm, {Role::kFfnNorm, Role::kFfnNormBias}, {});
      feed_forward.consumers = FeedForwardInputs();
      Add(std::move(feed_forward), sites);
    }
    // A gate's function is of the gate alone, unless what it multiplies is cut off.
    if (family.activation == Activation::kClampedSwiglu) return;
    if (Has(Role::kFfnGate))
      Add(Site(Role::kFfnUp, {Role::kFfnUp, Role::kFfnUpBias}, {Role::kFfnDown}), sites);
    // Biases of all experts are one piece.
    if (Has(Role::kFfnGateExpert) && !Has(Role::kFfnUpExpertBias)) AddExperts(sites);
  }

 private:
  static void Append(std::vector<uint32_t>& to, const std::vector<uint32_t>& more) {
    to.insert(to.end(), more.begin(), more.end());
  }

  bool Has(Role role) const { return pieces_.contains(role); }
  std::vector<uint32_t> Of(std::initializer_list<Role> roles) const {
    std::vector<uint32_t> found;
    for (const Role role : roles)
      if (const auto it = pieces_.find(role); it != pieces_.end()) Append(found, it->second);
    return found;
  }

  // The router first: it sees every token.
  std::vector<uint32_t> FeedForwardInputs() const {
    return Of(
        {Role::kFfnRouter, Role::kFfnGate, Role::kFfnUp, Role::kFfnGateExpert, Role::kFfnUpExpert});
  }

  FoldSite Site(Role from, std::initializer_list<Role> producers,
                std::initializer_list<Role> consumers) const {
    return {.from = from, .layer = layer_, .producers = Of(producers), .consumers = Of(consumers)};
  }

  void AddExperts(std::vector<FoldSite>& sites) const {
    const std::vector<uint32_t> ups = Of({Role::kFfnUpExpert}), downs = Of({Role::kFfnDownExpert});
    for (size_t i = 0; i < ups.size() && i < downs.size(); ++i)
      Add({.from = Role::kFfnUpExpert,
           .layer = layer_,
           .expert = model_.pieces[ups[i]].expert,
           .producers = {ups[i]},
           .consumers = {downs[i]}},
          sites);
  }

  void Add(FoldSite site, std::vector<FoldSite>& sites) const {
    if (site.producers.empty() || site.consumers.empty()) return;
    const Piece& first = model_.pieces[site.producers.front()];
    site.width = first.dims == 1 ? first.cols : first.rows;
    if (site.run == 0) site.run = site.width;
    sites.push_back(std::move(site));
  }

  const ModelDescription& model_;
  const int layer_;
  std::map<Role, std::vector<uint32_t>> pieces_;  // experts in their order
};

}  // namespace

std::string NameOf(const FoldSite& site) {
  return fmt::format("blk.{}.{}{}", site.layer, Name(site.from),
                     site.expert < 0 ? "" : fmt::format(".{}", site.expert));
}

std::vector<FoldSite> FoldSitesOf(const ModelDescription& model) {
  std::vector<LayerSites> layers;
  for (int layer = 0; layer < model.hyper.layers; ++layer) layers.emplace_back(model, layer);
  for (uint32_t i = 0; i < model.pieces.size(); ++i)
    if (model.pieces[i].layer >= 0) layers[static_cast<size_t>(model.pieces[i].layer)].Know(i);
  std::vector<FoldSite> sites;
  for (const LayerSites& layer : layers) layer.AddTo(sites);
  return sites;
}

}  // namespace quantfleet::pipeline
