#include "daemon/door/strangers.h"

#include <gtest/gtest.h>

namespace quantfleet::daemon {
namespace {

using std::chrono::seconds;
using Verdict = Strangers::Verdict;

Strangers::Instant At(int ms) { return Strangers::Instant(Duration(ms)); }

const Strangers::Limits kLimits{.to_speak = seconds(10),
                                .idle = seconds(30),
                                .age = seconds(300),
                                .connection = {1000, 10},
                                .address = {3000, 100}};

TEST(Strangers, WhoSaysNothingHasItsTime) {
  Strangers strangers(kLimits);
  strangers.Come(1, "a", At(0));
  strangers.Come(2, "a", At(0));
  strangers.Speak(2);
  EXPECT_EQ(strangers.Judge(1, {}, At(10'000)), Verdict::kStays);
  EXPECT_EQ(strangers.Judge(1, {}, At(10'001)), Verdict::kSilent);
  EXPECT_EQ(strangers.Judge(2, {0, seconds(30)}, At(30'001)), Verdict::kStays);
  EXPECT_EQ(strangers.Judge(2, {0, seconds(31)}, At(31'001)), Verdict::kIdle);
  EXPECT_EQ(strangers.Judge(2, {0, seconds(1)}, At(300'001)), Verdict::kOld);
}

TEST(Strangers, AConnectionHasItsBytes) {
  Strangers strangers(kLimits);
  strangers.Come(1, "a", At(0));
  EXPECT_EQ(strangers.Judge(1, {1000, {}}, At(0)), Verdict::kStays);
  EXPECT_EQ(strangers.Judge(1, {1050, {}}, At(5000)), Verdict::kStays) << "10 bytes a second";
  EXPECT_EQ(strangers.Judge(1, {1051, {}}, At(5000)), Verdict::kGreedy);
}

// Also looked at so often that each time less than a byte has come back.
TEST(Strangers, WhatComesBackIsNotLostBetweenTwoLooks) {
  Strangers strangers(kLimits);
  strangers.Come(1, "a", At(0));
  for (int ms = 0; ms < 5000; ms += 20)
    ASSERT_EQ(strangers.Judge(1, {1000, {}}, At(ms)), Verdict::kStays);
  EXPECT_EQ(strangers.Judge(1, {1049, {}}, At(5000)), Verdict::kStays);
}

TEST(Strangers, ConnectionsOfOneAddressShare) {
  Strangers strangers(kLimits);
  for (uint64_t id = 0; id < 3; ++id) {
    EXPECT_TRUE(strangers.MayCome("a", At(0)));
    strangers.Come(id, "a", At(0));
    EXPECT_EQ(strangers.Judge(id, {1000, {}}, At(0)), Verdict::kStays);
    strangers.Leave(id);
  }
  EXPECT_FALSE(strangers.MayCome("a", At(0))) << "what it took before counts";
  EXPECT_TRUE(strangers.MayCome("b", At(0)));
  EXPECT_TRUE(strangers.MayCome("a", At(1000)));
}

TEST(Strangers, AnAddressIsInDebtForSecondsAtMost) {
  Strangers strangers(kLimits);
  strangers.Come(1, "a", At(0));
  EXPECT_EQ(strangers.Judge(1, {1 << 30, {}}, At(0)), Verdict::kGreedy);
  strangers.Leave(1);
  EXPECT_FALSE(strangers.MayCome("a", At(5000)));
  EXPECT_TRUE(strangers.MayCome("a", At(5010)));
}

TEST(Strangers, WhoIsKnownGivesBackWhatItTook) {
  Strangers strangers(kLimits);
  for (uint64_t id = 0; id < 100; ++id) {
    ASSERT_TRUE(strangers.MayCome("a", At(0)));
    strangers.Come(id, "a", At(0));
    ASSERT_EQ(strangers.Judge(id, {900, {}}, At(0)), Verdict::kStays);
    strangers.Recognize(id, At(0));
  }
}

TEST(Strangers, AddressesThatHaveAllAreForgotten) {
  Strangers strangers(kLimits);
  strangers.Come(1, "a", At(0));
  strangers.Judge(1, {500, {}}, At(0));
  strangers.Leave(1);
  strangers.ForgetRefilled(At(4990));
  EXPECT_EQ(strangers.addresses(), 1u);
  strangers.ForgetRefilled(At(5000));
  EXPECT_EQ(strangers.addresses(), 0u);
}

}  // namespace
}  // namespace quantfleet::daemon
