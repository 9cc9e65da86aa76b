#include "common/http/crowd.h"

#include <gtest/gtest.h>

namespace quantfleet::http {
namespace {

using Kind = Crowd::Entry::Kind;

TEST(Crowd, ClosesWhoIsTooMany) {
  Crowd crowd({.most = 2});
  EXPECT_EQ(crowd.Enter(0).kind, Kind::kServed);
  EXPECT_EQ(crowd.Enter(1).kind, Kind::kServed);
  crowd.BeginWaiting(0);  // which makes no room here
  EXPECT_EQ(crowd.Enter(2).kind, Kind::kClosed);
  EXPECT_EQ(crowd.counts().open, 2u);
  EXPECT_EQ(crowd.counts().refused, 1u);
  crowd.Leave(0);
  EXPECT_EQ(crowd.Enter(3).kind, Kind::kServed);
}

TEST(Crowd, TellsSomeOfThemAndClosesTheOthers) {
  Crowd crowd({.most = 1, .most_told = 2});
  EXPECT_EQ(crowd.Enter(0).kind, Kind::kServed);
  EXPECT_EQ(crowd.Enter(1).kind, Kind::kTold);
  EXPECT_EQ(crowd.Enter(2).kind, Kind::kTold);
  EXPECT_EQ(crowd.Enter(3).kind, Kind::kClosed);
  EXPECT_EQ(crowd.counts().open, 3u);
  EXPECT_EQ(crowd.counts().refused, 3u);
  crowd.Leave(1);
  EXPECT_EQ(crowd.Enter(4).kind, Kind::kTold);
}

TEST(Crowd, TheOneThatHasWaitedLongestGivesWay) {
  Crowd crowd({.most = 2, .most_told = 2, .gives_way = true});
  crowd.Enter(0);
  crowd.Enter(1);
  crowd.BeginWaiting(1);
  crowd.BeginWaiting(0);
  const Crowd::Entry entry = crowd.Enter(2);
  EXPECT_EQ(entry.kind, Kind::kServed);
  EXPECT_EQ(entry.gives_way, 1u);
  EXPECT_EQ(crowd.counts().open, 2u);
  EXPECT_EQ(crowd.counts().gave_way, 1u);
  crowd.BeginWaiting(1);  // it has not been closed yet, and counts no more
  crowd.Leave(1);
  crowd.EndWaiting(0);
  EXPECT_EQ(crowd.Enter(3).kind, Kind::kTold) << "all are busy";
}

}  // namespace
}  // namespace quantfleet::http
