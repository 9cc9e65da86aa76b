#include "common/base/version.h"

#include <gtest/gtest.h>

namespace quantfleet {
namespace {

TEST(Version, ComparesByNumberNotByText) {
  EXPECT_LT(ParseVersion("0.9.0"), ParseVersion("0.10.0"));
  EXPECT_LT(ParseVersion("0.10.9"), ParseVersion("1.0.0"));
  EXPECT_EQ(ParseVersion("1.2.3"), (Version{1, 2, 3}));
}

TEST(Version, TakesThreeNumbersAndNothingElse) {
  for (const char* text :
       {"", ".", "..", "1", "1.2", "1.2.", "1..3", ".2.3", "1.2.3.4", "1.2.3-rc1", "v1.2.3",
        " 1.2.3", "1.2.3 ", "-1.2.3", "+1.2.3", "1.2.x", "1234567.0.0", "0.0.1234567"})
    EXPECT_FALSE(ParseVersion(text)) << text;
}

}  // namespace
}  // namespace quantfleet
