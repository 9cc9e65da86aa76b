#include "common/base/fail_point.h"

#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>
#include <set>

namespace quantfleet {
namespace {

TEST(FailPoint, NamesAreDistinctAndSayWhatTheyStandFor) {
  std::set<std::string_view> names;
  for (const FailPointRow& row : kFailPoints) {
    EXPECT_TRUE(names.insert(row.name).second) << row.name;
    EXPECT_EQ(row.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz-"), row.name.npos) << row.name;
    EXPECT_FALSE(row.moment.empty()) << row.name;
  }
}

TEST(FailPoint, EachRowIsSomeProgramsAndNoneIsAskedForUnasked) {
  std::string all;
  char name[] = "program", flag[] = "--list-fail-points", other[] = "--help";
  for (const Program program : {Program::kDaemon, Program::kAgent, Program::kCommand}) {
    char* asked[] = {name, flag, other};
    const auto list = FailPointsAskedFor(2, asked, program);
    ASSERT_TRUE(list);
    all += *list;
    EXPECT_FALSE(FailPointsAskedFor(1, asked, program));
    EXPECT_FALSE(FailPointsAskedFor(3, asked, program));
    char* unasked[] = {name, other};
    EXPECT_FALSE(FailPointsAskedFor(2, unasked, program));
  }
  for (const FailPointRow& row : kFailPoints)
    EXPECT_NE(all.find(std::string(row.name) + "\t"), all.npos) << row.name;
}

TEST(FailPointDeathTest, TheNthTimeOfTheNamedPointIsTheLast) {
  EXPECT_EXIT(
      {
        ::setenv("QUANTFLEET_FAIL_POINT", "job-claimed:2", 1);
        for (int i = 0; i < 5; ++i) FailPoint("slab-before-store");
        FailPoint("job-claimed");
        std::fputs("once\n", stderr);
        FailPoint("job-claimed");
        std::fputs("too late\n", stderr);
        std::exit(0);
      },
      ::testing::KilledBySignal(SIGKILL), "once");
}

}  // namespace
}  // namespace quantfleet
