// Which experts are chosen, and what each counts.
#include "engine/decode/routing.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace quantfleet::engine {
namespace {

using pipeline::Routing;

std::vector<Choice> Chosen(Routing routing, const std::vector<float>& scores, size_t count) {
  std::vector<Choice> chosen(count);
  ChooseExperts(routing, scores, chosen);
  return chosen;
}

TEST(Routing, SoftmaxOfTheBestIsThatOfAllMadeToSumToOne) {
  const std::vector<float> scores{0.5f, -1, 3, 2.25f, 0.75f};
  const std::vector<Choice> chosen = Chosen(Routing::kSoftmaxOfChosen, scores, 3);
  ASSERT_EQ(chosen[0].expert, 2);
  ASSERT_EQ(chosen[1].expert, 3);
  ASSERT_EQ(chosen[2].expert, 4);
  double all = 0, best = 0;
  for (const float s : scores) all += std::exp(double{s});
  for (const Choice& c : chosen) best += std::exp(double{scores[c.expert]}) / all;
  for (const Choice& c : chosen)
    EXPECT_NEAR(c.weight, std::exp(double{scores[c.expert]}) / all / best, 1e-6);
}

// From the published code: scores within a fiftieth of the best share its weight, and the first one
// is left out of the second's. The weights do not sum to 1.
TEST(Routing, TheSparseMixerWeighsTwoByThemselves) {
  const std::vector<float> scores{1, 4, 3.95f, -2, 3.9f, 3.5f};
  const std::vector<Choice> chosen = Chosen(Routing::kSparseMixer, scores, 2);
  EXPECT_EQ(chosen[0].expert, 1);
  EXPECT_NEAR(chosen[0].weight, 1 / (1 + std::exp(-0.05)), 1e-6);  // 3.9 is 0.025 away
  EXPECT_EQ(chosen[1].expert, 2);
  EXPECT_NEAR(chosen[1].weight, 1 / (1 + std::exp(-0.05)), 1e-6);
  // Below 0 the size of a score counts.
  const std::vector<Choice> negative = Chosen(Routing::kSparseMixer, {-2, -1, -1.01f, -1.05f}, 2);
  EXPECT_EQ(negative[0].expert, 1);
  EXPECT_NEAR(negative[0].weight, 1 / (1 + std::exp(-0.01)), 1e-6);
  EXPECT_EQ(negative[1].expert, 2);
  EXPECT_NEAR(negative[1].weight, 1, 1e-6);
}

TEST(Routing, OfEqualScoresTheFirstAreTaken) {
  const std::vector<Choice> chosen = Chosen(Routing::kSoftmaxOfChosen, {1, 2, 2, 1, 2}, 4);
  EXPECT_EQ(chosen[0].expert, 1);
  EXPECT_EQ(chosen[1].expert, 2);
  EXPECT_EQ(chosen[2].expert, 4);
  EXPECT_EQ(chosen[3].expert, 0);
  EXPECT_EQ(chosen[0].weight, chosen[2].weight);
}

// A damaged model's scores: whatever comes of them, experts are different ones that are there.
TEST(Routing, ScoresThatAreNoNumbersChooseDifferentExperts) {
  const float nan = std::numeric_limits<float>::quiet_NaN(),
              infinity = std::numeric_limits<float>::infinity();
  for (const std::vector<float>& scores :
       {std::vector<float>(4, nan), {nan, 1, infinity, nan}, std::vector<float>(4, -infinity)}) {
    for (const Routing routing : {Routing::kSoftmaxOfChosen, Routing::kSparseMixer}) {
      std::vector<int> taken(4, 0);
      for (const Choice& choice : Chosen(routing, scores, 4)) {
        ASSERT_GE(choice.expert, 0);
        ASSERT_LT(choice.expert, 4);
        ++taken[static_cast<size_t>(choice.expert)];
      }
      EXPECT_EQ(taken, std::vector<int>(4, 1));
    }
  }
}

}  // namespace
}  // namespace quantfleet::engine
