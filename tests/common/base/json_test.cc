#include "common/base/json.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "tests/support/status_matchers.h"

namespace quantfleet {
namespace {

TEST(ParseJsonObject, ErrorsHaveLineAndColumn) {
  EXPECT_ERROR(ParseJsonObject("{\n  \"a\": 1,\n  \"b\": oops\n}", "config.json"), kInvalidArgument,
               "config.json", "line 3, column 8: ");
  EXPECT_ERROR(ParseJsonObject("{\"a\": 1}\n]", "config.json"), kInvalidArgument,
               "line 2, column 1: ");
  EXPECT_ERROR(ParseJsonObject("{\"a\": [1,\n2", "config.json"), kInvalidArgument,
               "line 2, column 2: ");
  EXPECT_ERROR(ParseJsonObject("", "config.json"), kInvalidArgument, "line 1, column 1: ");
}

// Python's json module writes them; a file is not unreadable because of a member that nobody asks
// for.
TEST(ParseJsonObject, TakesWhatPythonWritesWhereItIsNotUsed) {
  const auto object = ParseJsonObject(
      "\xef\xbb\xbf{\"a\": Infinity, \"b\": [-Infinity, NaN], \"c\": \"NaN \\\" Infinity\", "
      "\"d\": 4}",
      "config.json");
  ASSERT_OK(object);
  JsonMembers members(*object, "config.json");
  EXPECT_EQ(members.Integer("d"), 4);
  EXPECT_EQ(members.Text("c"), "NaN \" Infinity");
  EXPECT_OK(members.status());
  EXPECT_EQ(members.Number("a"), std::nullopt);
  EXPECT_ERROR(members.status(), kInvalidArgument, "config.json", "'a'", "number");
}

TEST(ParseJsonObject, AnErrorBesidePythonsNumbersKeepsItsPlace) {
  EXPECT_ERROR(ParseJsonObject("{\"a\": -Infinity, \"b\": x}", "config.json"), kInvalidArgument,
               "line 1, column 23: ");
}

}  // namespace
}  // namespace quantfleet
