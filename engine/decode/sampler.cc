#include "engine/decode/sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace quantfleet::engine {
namespace {

// Higher logits first, lower ids among equals: a total order, so that no sort's whim decides.
bool MoreLikely(const std::pair<float, int32_t>& a, const std::pair<float, int32_t>& b) {
  return a.first != b.first ? a.first > b.first : a.second < b.second;
}

}  // namespace

int32_t ArgMax(std::span<const float> logits) {
  int32_t best = -1;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (std::isnan(logits[i])) return -1;
    if (best < 0 || logits[i] > logits[best]) best = static_cast<int32_t>(i);
  }
  return best;
}

std::vector<int32_t> Likeliest(std::span<const float> logits, int count) {
  std::vector<int32_t> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  const size_t keep = std::min(ids.size(), static_cast<size_t>(std::max(count, 0)));
  std::ranges::partial_sort(
      ids, ids.begin() + static_cast<ptrdiff_t>(keep),
      [&](int32_t a, int32_t b) { return MoreLikely({logits[a], a}, {logits[b], b}); });
  ids.resize(keep);
  return ids;
}

SamplingOptions RecommendedSampling(const pipeline::SamplingDefaults& defaults) {
  SamplingOptions options;
  options.temperature = defaults.temperature.value_or(options.temperature);
  if (defaults.samples == false) options.temperature = 0;
  options.top_k = defaults.top_k.value_or(options.top_k);
  options.top_p = defaults.top_p.value_or(options.top_p);
  return options;
}

absl::Status Validate(const SamplingOptions& options) {
  if (!(options.temperature >= 0 && options.temperature <= 100))
    return InvalidArgument("temperature is {}; it must be between 0 (greedy) and 100",
                           options.temperature);
  if (options.top_k < 0)
    return InvalidArgument("top-k is {}; it must be at least 0 (0 turns it off)", options.top_k);
  if (!(options.top_p > 0 && options.top_p <= 1))
    return InvalidArgument("top-p is {}; it must be above 0 and at most 1 (1 turns it off)",
                           options.top_p);
  return absl::OkStatus();
}

double Sampler::Uniform() {
  state_ += 0x9e3779b97f4a7c15;
  uint64_t z = state_;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  z ^= z >> 31;
  return static_cast<double>(z >> 11) * 0x1p-53;
}

absl::StatusOr<int32_t> Sampler::Pick(std::span<const float> logits) {
  const int32_t best = ArgMax(logits);
  if (best < 0 || !std::isfinite(logits[best]))
    return DataLoss("the model produces NaN or infinite logits: its weights are damaged");
  if (options_.temperature == 0 || options_.top_k == 1) return best;

  candidates_.clear();
  for (size_t i = 0; i < logits.size(); ++i)
    candidates_.emplace_back(logits[i], static_cast<int32_t>(i));
  size_t keep = candidates_.size();
  if (options_.top_k > 0) keep = std::min(keep, static_cast<size_t>(options_.top_k));
  std::ranges::partial_sort(candidates_, candidates_.begin() + static_cast<ptrdiff_t>(keep),
                            MoreLikely);
  candidates_.resize(keep);

  // top_p cuts the distribution at temperature 1 of what top_k left, then the temperature shapes
  // the rest (llama.cpp's order).
  const double top = candidates_[0].first;
  if (options_.top_p < 1) {
    double total = 0, sum = 0;
    for (const auto& [logit, id] : candidates_) total += std::exp(logit - top);
    size_t kept = 0;
    while (kept < candidates_.size() && sum < options_.top_p * total)
      sum += std::exp(candidates_[kept++].first - top);
    candidates_.resize(std::max<size_t>(kept, 1));
  }
  double total = 0;
  for (const auto& [logit, id] : candidates_)
    total += std::exp((logit - top) / options_.temperature);
  double rest = Uniform() * total;
  for (const auto& [logit, id] : candidates_) {
    rest -= std::exp((logit - top) / options_.temperature);
    if (rest < 0) return id;
  }
  return candidates_.back().second;
}

}  // namespace quantfleet::engine
