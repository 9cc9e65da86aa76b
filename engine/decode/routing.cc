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

}  // namespace

void ChooseExperts(pipeline::Routing routing, std::span<const float> scores,
                   std::span<Choice> chosen) {
  if (chosen.empty()) return;
  switch (routing) {
    case pipeline::Routing::kSoftmaxOfChosen:
      return SoftmaxOfChosen(scores, chosen);
  }
}

}  // namespace quantfleet::engine
