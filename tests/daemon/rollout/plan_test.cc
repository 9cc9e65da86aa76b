#include "daemon/rollout/plan.h"

#include <algorithm>

#include "tests/support/status_matchers.h"

namespace quantfleet::daemon {
namespace {

using ::testing::ElementsAre;

class PhasesTest : public ::testing::Test {
 protected:
  void Devices(int n) {
    for (int i = 0; i < n; ++i) {
      v1::RolloutDevice row;
      row.set_device_id(fmt::format("d-{:03}", i));
      row.set_state(v1::RolloutDevice::QUEUED);
      labels_[row.device_id()];
      rows_.push_back(row);
    }
  }
  v1::RolloutPhase& Phase() { return *plan_.add_phases(); }
  std::vector<int> Sizes(const std::string& seed = "s") {
    plan_ = CompletePlan(plan_);
    PutInPhases(plan_, seed, groups_, labels_, rows_);
    std::vector<int> sizes(static_cast<size_t>(plan_.phases_size()));
    for (const auto& row : rows_) ++sizes[row.phase()];
    return sizes;
  }

  v1::RolloutPlan plan_;
  std::vector<v1::RolloutDevice> rows_;
  std::map<std::string, Labels> labels_;
  Groups groups_;
};

TEST_F(PhasesTest, CountsThenSharesOfAllThenTheRest) {
  Devices(40);
  Phase().set_count(1);
  Phase().set_percent(10);
  Phase().set_percent(50);
  EXPECT_THAT(Sizes(), ElementsAre(1, 3, 16, 20));
}

TEST_F(PhasesTest, ASmallShareIsAtLeastOneDevice) {
  Devices(3);
  Phase().set_percent(1);
  EXPECT_THAT(Sizes(), ElementsAre(1, 2));
}

TEST_F(PhasesTest, LabelsTakeTheirDevicesAndSkippedOnesAreNobodys) {
  Devices(6);
  labels_["d-001"]["ring"] = labels_["d-004"]["ring"] = "early";
  labels_["d-002"]["ring"] = "late";
  rows_[4].set_state(v1::RolloutDevice::SKIPPED);
  (*Phase().mutable_labels())["ring"] = "early";
  Phase().set_percent(100);
  Sizes();
  EXPECT_EQ(rows_[1].phase(), 0u);
  EXPECT_EQ(rows_[2].phase(), 1u);
  EXPECT_EQ(std::ranges::count_if(rows_, [](const auto& r) { return r.phase() == 1; }), 4);
}

TEST_F(PhasesTest, TheSameSeedGivesTheSameTurnsAndAnotherOthers) {
  Devices(64);
  Phase().set_count(32);
  Sizes("a");
  const auto first = [this] {
    std::vector<uint32_t> phases;
    for (const auto& row : rows_) phases.push_back(row.phase());
    return phases;
  };
  const auto a = first();
  Sizes("a");
  EXPECT_EQ(first(), a);
  Sizes("b");
  EXPECT_NE(first(), a);
}

TEST_F(PhasesTest, JitterSpreadsOverItsTime) {
  Devices(50);
  plan_.set_jitter_seconds(60);
  Sizes();
  const auto [least, most] = std::ranges::minmax(rows_, {}, &v1::RolloutDevice::delay_ms);
  EXPECT_LT(least.delay_ms(), 15'000u);
  EXPECT_GT(most.delay_ms(), 45'000u);
  EXPECT_LT(most.delay_ms(), 60'000u);
}

TEST_F(PhasesTest, WhoComesLaterIsLastUnlessLabelled) {
  (*Phase().mutable_labels())["ring"] = "early";
  Phase().set_count(5);
  plan_ = CompletePlan(plan_);
  v1::RolloutDevice row;
  PutInPhase(plan_, "s", {}, {}, row);
  EXPECT_EQ(row.phase(), 2u);
  PutInPhase(plan_, "s", {}, {{"ring", "early"}}, row);
  EXPECT_EQ(row.phase(), 0u);
}

TEST_F(PhasesTest, AGroupTakesItsDevicesOfThoseThatAreLeft) {
  Devices(6);
  labels_["d-001"]["ring"] = labels_["d-004"]["site"] = labels_["d-005"]["site"] = "lab";
  (*groups_["lab"].mutable_selector())["site"] = "lab";
  groups_["lab"].add_device_ids("d-000");
  groups_["lab"].add_device_ids("d-001");
  (*Phase().mutable_labels())["ring"] = "lab";
  Phase().set_group("lab");
  Phase().set_group("gone");
  EXPECT_THAT(Sizes(), ElementsAre(1, 3, 0, 2));
  EXPECT_EQ(rows_[0].phase(), 1u);
  EXPECT_EQ(rows_[1].phase(), 0u);
  v1::RolloutDevice late;
  late.set_device_id("d-000");
  PutInPhase(plan_, "s", groups_, {}, late);
  EXPECT_EQ(late.phase(), 1u);
  PutInPhase(plan_, "s", {}, {}, late);
  EXPECT_EQ(late.phase(), 3u);
}

TEST(PlanTest, WhatIsLeftOutIsFilledIn) {
  const v1::RolloutPlan plan = CompletePlan({});
  EXPECT_EQ(plan.phases_size(), 1);
  EXPECT_EQ(plan.device_timeout_seconds(), 86'400u);
}

TEST(PlanTest, RefusesNonsenseByName) {
  v1::RolloutPlan plan;
  plan.add_phases()->set_count(1);
  plan.mutable_phases(0)->set_percent(1);
  EXPECT_ERROR(CheckPlan(plan), kInvalidArgument, "phase 1");
  plan.mutable_phases(0)->clear_percent();
  plan.mutable_phases(0)->set_group("lab");
  EXPECT_ERROR(CheckPlan(plan), kInvalidArgument, "phase 1");
  plan.mutable_phases(0)->clear_group();
  plan.mutable_phases(0)->clear_count();
  plan.mutable_phases(0)->set_percent(101);
  EXPECT_ERROR(CheckPlan(plan), kInvalidArgument, "101 %");
  plan.mutable_phases(0)->set_percent(50);
  plan.add_phases()->set_percent(50);
  EXPECT_ERROR(CheckPlan(plan), kInvalidArgument, "50 %");
  plan.mutable_phases(1)->clear_percent();
  ASSERT_OK(CheckPlan(plan));
  plan.add_phases();
  EXPECT_ERROR(CheckPlan(plan), kInvalidArgument, "phase 2");
  plan.mutable_phases()->RemoveLast();
  plan.add_windows()->set_start_minute(1440);
  EXPECT_ERROR(CheckPlan(plan), kInvalidArgument, "window 1");
}

TEST(PlanFileTest, ReadsEverything) {
  const auto plan = ParsePlan(R"(
max_in_flight = 50
success_percent = 95
max_failures = 3
max_failure_percent = 5
min_executed = 20
on_failure = "rollback"
device_timeout_seconds = 3600
devices_per_minute = 100
jitter_seconds = 30
dynamic = true
[[phase]]
count = 1
soak_seconds = 600
[[phase]]
labels = { ring = "early" }
approval = true
[[phase]]
group = "lab"
[[phase]]
percent = 50
[[window]]
days = ["mon", "sun"]
from = "22:30"
to = "04:00"
)");
  ASSERT_OK(plan.status());
  EXPECT_EQ(plan->phases_size(), 4);
  EXPECT_EQ(plan->phases(0).soak_seconds(), 600u);
  EXPECT_TRUE(plan->phases(1).approval());
  EXPECT_EQ(plan->phases(1).labels().at("ring"), "early");
  EXPECT_EQ(plan->phases(2).group(), "lab");
  EXPECT_EQ(plan->phases(3).percent(), 50u);
  EXPECT_EQ(plan->on_failure(), v1::RolloutPlan::ROLL_BACK);
  EXPECT_EQ(plan->max_failures(), 3u);
  EXPECT_EQ(plan->success_percent(), 95u);
  EXPECT_TRUE(plan->dynamic());
  EXPECT_THAT(plan->windows(0).weekdays(), ElementsAre(1u, 7u));
  EXPECT_EQ(plan->windows(0).start_minute(), 22u * 60 + 30);
  EXPECT_EQ(plan->windows(0).end_minute(), 240u);
  EXPECT_OK(ParsePlan(""));
}

TEST(PlanFileTest, ErrorsNameLineAndKey) {
  EXPECT_ERROR(ParsePlan("max_inflight = 1"), kInvalidArgument, "line 1", "max_inflight");
  EXPECT_ERROR(ParsePlan("[[phase]]\ncount = 1\n[[phase]]\npercentage = 5"), kInvalidArgument,
               "phase 2", "line 4", "percentage");
  EXPECT_ERROR(ParsePlan("phase = 3"), kInvalidArgument, "[[phase]]");
  EXPECT_ERROR(ParsePlan("on_failure = \"panic\""), kInvalidArgument, "panic");
  EXPECT_ERROR(ParsePlan("[[window]]\nfrom = \"25:00\"\nto = \"01:00\""), kInvalidArgument,
               "window 1: '25:00'");
  EXPECT_ERROR(ParsePlan("[[window]]\ndays = [\"monday\"]\nfrom = \"01:00\"\nto = \"02:00\""),
               kInvalidArgument, "monday");
}

}  // namespace
}  // namespace quantfleet::daemon
