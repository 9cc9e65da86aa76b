#include "engine/decode/routing.h"

#include <algorithm>
#include <cmath>

namespace quantfleet::engine {
namespace {

// The best of those that are not chosen yet.
int32_t Best(std::span<const float> scores, std::span<const Choice> chosen) {
  int32_t best = -1;
  for (int32_t i = 0; i < static_cast<int32_t>(scores.size()); ++i) {
    if (std::ranges::find(chosen, i, &Choice::expert) != chosen.end()) continue;
    if (best < 0 || scores[static_cast<size_t>(i)] > scores[static_cast<size_t>(best)]) best = i;
  }
  return best;
}

void SoftmaxOfChosen(std::span<const float> scores, std::span<Choice> chosen) {
  for (size_t i = 0; i < chosen.size(); ++i) {
    chosen[i].expert = Best(scores, chosen.first(i));
    chosen[i].weight = scores[static_cast<size_t>(chosen[i].expert)];
  }
  const float most = chosen.front().weight;
  float sum = 0;
  for (Choice& choice : chosen) sum += choice.weight = std::exp(choice.weight - most);
  for (Choice& choice : chosen) choice.weight /= sum;
}

// The softmax weight of `best` among the scores near it; `before` is out of the running.
float SparseMixerWeight(std::span<const float> scores, std::span<const Choice> before,
                        int32_t best) {
  const float most = scores[static_cast<size_t>(best)];
  float sum = 0;
  for (int32_t i = 0; i < static_cast<int32_t>(scores.size()); ++i) {
    const float score = scores[static_cast<size_t>(i)];
    const bool far = (most - score) / std::max(std::abs(score), most) > pipeline::kSparseMixerReach;
    if (!far && std::ranges::find(before, i, &Choice::expert) == before.end())
      sum += std::exp(score - most);
  }
  return 1 / sum;
}

void SparseMixer(std::span<const float> scores, std::span<Choice> chosen) {
  for (size_t i = 0; i < chosen.size(); ++i) {
    const std::span<const Choice> before = chosen.first(i);
    const int32_t best = Best(scores, before);
    chosen[i] = {best, SparseMixerWeight(scores, before, best)};
  }
}

}  // namespace

void ChooseExperts(pipeline::Routing routing, std::span<const float> scores,
                   std::span<Choice> chosen) {
  if (chosen.empty()) return;
  switch (routing) {
    case pipeline::Routing::kSoftmaxOfChosen:
      return SoftmaxOfChosen(scores, chosen);
    case pipeline::Routing::kSparseMixer:
      return SparseMixer(scores, chosen);
  }
}

}  // namespace quantfleet::engine
