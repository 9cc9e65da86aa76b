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

TEST(Crowd, TurnsSomeAwayAndClosesTheOthers) {
  Crowd crowd({.most = 1, .most_turned_away = 2});
  EXPECT_EQ(crowd.Enter(0).kind, Kind::kServed);
  EXPECT_EQ(crowd.Enter(1).kind, Kind::kTurnedAway);
  EXPECT_EQ(crowd.Enter(2).kind, Kind::kTurnedAway);
  EXPECT_EQ(crowd.Enter(3).kind, Kind::kClosed);
  EXPECT_EQ(crowd.counts().open, 3u);
  EXPECT_EQ(crowd.counts().refused, 3u);
  crowd.Leave(1);
  EXPECT_EQ(crowd.Enter(4).kind, Kind::kTurnedAway);
}

TEST(Crowd, TheOneThatHasWaitedLongestGivesWay) {
  Crowd crowd({.most = 2, .most_turned_away = 2, .gives_way = true});
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
  EXPECT_EQ(crowd.Enter(3).kind, Kind::kTurnedAway) << "all are busy";
}

Crowd::Instant At(int ms) { return Crowd::Instant(std::chrono::milliseconds(ms)); }

TEST(Crowd, AnAddressHasItsShareOfStrangers) {
  Crowd crowd({.most_strangers_per_address = 2, .patience = std::chrono::milliseconds(10)});
  for (const uint64_t id : {0, 1}) {
    EXPECT_EQ(crowd.Enter(id, "a", At(0)).kind, Kind::kServed);
    crowd.BeginWaiting(id, At(0));
  }
  const Crowd::Entry early = crowd.Enter(2, "a", At(9));
  EXPECT_EQ(early.kind, Kind::kLater) << "the others have not had their time";
  EXPECT_FALSE(early.gives_way);
  EXPECT_EQ(crowd.Enter(3, "b", At(9)).kind, Kind::kServed);
  const Crowd::Entry late = crowd.Enter(2, "a", At(10));
  EXPECT_EQ(late.kind, Kind::kServed);
  EXPECT_EQ(late.gives_way, 0u);
  EXPECT_EQ(crowd.counts().strangers, 3u);
}

TEST(Crowd, WhoIsKnownIsInNobodysShare) {
  Crowd crowd({.most_strangers = 2, .most_strangers_per_address = 1});
  for (uint64_t id = 0; id < 100; ++id) {
    EXPECT_EQ(crowd.Enter(id, "a").kind, Kind::kServed) << id;
    crowd.Recognize(id);
  }
  EXPECT_EQ(crowd.counts().strangers, 0u);
  EXPECT_EQ(crowd.counts().open, 100u);
}

TEST(Crowd, TheAddressWithTheMostStrangersMakesRoom) {
  Crowd crowd({.most_strangers = 3,
               .most_strangers_per_address = 2,
               .patience = std::chrono::milliseconds(10)});
  crowd.Enter(0, "quiet");
  crowd.BeginWaiting(0);
  for (const uint64_t id : {1, 2}) {
    crowd.Enter(id, "many");
    crowd.BeginWaiting(id);
  }
  const Crowd::Entry entry = crowd.Enter(3, "new");
  EXPECT_EQ(entry.kind, Kind::kServed);
  EXPECT_EQ(entry.gives_way, 1u) << "not the one that has waited longest of all";
  EXPECT_EQ(crowd.Enter(4, "newer").kind, Kind::kLater) << "all have as few now";
}

TEST(Crowd, StrangersGiveWayBeforeTheKnown) {
  Crowd crowd({.most = 2, .gives_way = true});
  crowd.Enter(0);
  crowd.Recognize(0);
  crowd.BeginWaiting(0);
  crowd.Enter(1);
  crowd.BeginWaiting(1);
  EXPECT_EQ(crowd.Enter(2).gives_way, 1u);
  EXPECT_EQ(crowd.Enter(3).gives_way, 0u) << "2 does not wait";
}

}  // namespace
}  // namespace quantfleet::http
