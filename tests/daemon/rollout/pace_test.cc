#include "daemon/rollout/pace.h"

#include <gtest/gtest.h>

namespace quantfleet::daemon {
namespace {

constexpr int64_t kMinute = 60'000, kHour = 60 * kMinute, kDay = 24 * kHour;
constexpr int64_t kMonday = 1'798'416'000'000;  // 2026-12-28 00:00 UTC

Time At(int64_t day, int64_t hour, int64_t minute = 0) {
  return FromUnixMillis(kMonday + day * kDay + hour * kHour + minute * kMinute);
}

TEST(WindowsTest, WithoutWindowsItIsAlwaysTime) { EXPECT_TRUE(WithinWindows({}, At(0, 12))); }

TEST(WindowsTest, OneDaysHours) {
  v1::RolloutPlan plan;
  auto& window = *plan.add_windows();
  window.set_start_minute(60);
  window.set_end_minute(120);
  window.add_weekdays(2);  // Tuesday
  EXPECT_FALSE(WithinWindows(plan, At(0, 1, 30)));
  EXPECT_FALSE(WithinWindows(plan, At(1, 0, 59)));
  EXPECT_TRUE(WithinWindows(plan, At(1, 1, 0)));
  EXPECT_TRUE(WithinWindows(plan, At(1, 1, 59)));
  EXPECT_FALSE(WithinWindows(plan, At(1, 2, 0)));
  EXPECT_TRUE(WithinWindows(plan, At(8, 1, 0)));
}

TEST(WindowsTest, OverMidnightTheDayIsTheOneItBeginsOn) {
  v1::RolloutPlan plan;
  auto& window = *plan.add_windows();
  window.set_start_minute(22 * 60);
  window.set_end_minute(4 * 60);
  window.add_weekdays(7);  // Sunday night
  EXPECT_TRUE(WithinWindows(plan, At(0, 3)));
  EXPECT_FALSE(WithinWindows(plan, At(0, 23)));
  EXPECT_FALSE(WithinWindows(plan, At(6, 3)));
  EXPECT_TRUE(WithinWindows(plan, At(6, 23)));
}

TEST(PaceTest, ARateHoldsOverTimeWhateverTheTicks) {
  for (const int tick_ms : {7, 500, 3000}) {
    v1::Rollout rollout;
    rollout.mutable_plan()->set_devices_per_minute(120);
    uint64_t assigned = 0;
    for (int64_t ms = 0; ms < 10 * kMinute; ms += tick_ms) {
      const Time now = FromUnixMillis(kMonday + ms);
      const uint64_t may = MayAssign(rollout, 1'000'000, 0, now);
      if (may == 0) continue;
      assigned += may;
      rollout.set_next_told_ms(NextAssignment(rollout, may, now));
    }
    EXPECT_GE(assigned, 1180u) << tick_ms;
    EXPECT_LE(assigned, 1210u) << tick_ms;
  }
}

TEST(PaceTest, ALongPauseIsNoReasonToHurryAfterwards) {
  v1::Rollout rollout;
  rollout.mutable_plan()->set_devices_per_minute(60);
  rollout.set_next_told_ms(kMonday);
  EXPECT_LE(MayAssign(rollout, 1000, 0, At(1, 0)), 6u);
}

TEST(PaceTest, ATurnOfAClockThatWasAheadIsNotWaitedFor) {
  v1::Rollout rollout;
  rollout.mutable_plan()->set_devices_per_minute(1);
  for (const int64_t ahead : {kMinute * 2, kMinute * 60 * 24 * 400}) {
    rollout.set_next_told_ms(kMonday + ahead);
    EXPECT_EQ(MayAssign(rollout, 10, 0, At(0, 0)), 1u);
    rollout.set_next_told_ms(NextAssignment(rollout, 1, At(0, 0)));
    EXPECT_EQ(rollout.next_told_ms(), kMonday + kMinute);
  }
}

TEST(PaceTest, ASlowRateTellsOneAtATime) {
  v1::Rollout rollout;
  rollout.mutable_plan()->set_devices_per_minute(1);
  EXPECT_EQ(MayAssign(rollout, 10, 0, At(0, 0)), 1u);
  rollout.set_next_told_ms(NextAssignment(rollout, 1, At(0, 0)));
  EXPECT_EQ(MayAssign(rollout, 10, 0, FromUnixMillis(kMonday + 59'000)), 0u);
  EXPECT_EQ(MayAssign(rollout, 10, 0, FromUnixMillis(kMonday + 60'000)), 1u);
}

TEST(PaceTest, TheLimitOnDevicesUnderWayCounts) {
  v1::Rollout rollout;
  rollout.mutable_plan()->set_max_in_flight(5);
  EXPECT_EQ(MayAssign(rollout, 10, 3, At(0, 0)), 2u);
  EXPECT_EQ(MayAssign(rollout, 10, 7, At(0, 0)), 0u);
  EXPECT_EQ(MayAssign(rollout, 1, 0, At(0, 0)), 1u);
}

}  // namespace
}  // namespace quantfleet::daemon
