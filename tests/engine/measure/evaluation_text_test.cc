#include "engine/measure/evaluation_text.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace quantfleet::engine {
namespace {

TEST(EvaluationText, AModelFarWorseThanAGuessReadsWhatIsNotOfItsKind) {
  const double guess = std::log(32000);
  EXPECT_FALSE(IsOfAnotherKind(2.5, 32000));
  EXPECT_FALSE(IsOfAnotherKind(guess, 32000));
  EXPECT_TRUE(IsOfAnotherKind(1.6 * guess, 32000));
  EXPECT_TRUE(IsOfAnotherKind(std::numeric_limits<double>::quiet_NaN(), 32000));
}

TEST(EvaluationText, ShipsAsPlainText) {
  EXPECT_GT(ShippedEvaluationText().size(), 2000u);
  EXPECT_EQ(ShippedGoldenPrompts().size(), 3u);
}

}  // namespace
}  // namespace quantfleet::engine
