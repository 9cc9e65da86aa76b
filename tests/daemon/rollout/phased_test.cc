// Phases, their gates and what ends them, with a store and signed assignments.
#include "tests/daemon/rollout/phased_fixture.h"

namespace quantfleet::daemon {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using v1::ModelStatus;
using v1::Rollout;
using v1::RolloutDevice;
using v1::RolloutPlan;

class PhasedTest : public PhasedFixture {};

TEST_F(PhasedTest, OnlyTheCanaryIsToldFirst) {
  const auto ids = EnrollDevices(4);
  const Rollout rollout = Create(Canary());
  const auto assigned = Pending(rollout);
  ASSERT_THAT(assigned, SizeIs(1));
  EXPECT_THAT(In(Get(rollout), RolloutDevice::QUEUED), SizeIs(3));
  for (const std::string& id : ids)
    EXPECT_EQ(Once(*store_)->assignments().List(id)->size(),
              id == assigned[0].device_id() ? 1u : 0u);
  AllHealthy(rollout);
  EXPECT_THAT(Pending(rollout), SizeIs(3));
  AllHealthy(rollout);
  EXPECT_EQ(Get(rollout).state(), Rollout::COMPLETED);
}

TEST_F(PhasedTest, SoaksByTheClockAndGoesOnByATick) {
  EnrollDevices(2);
  RolloutPlan plan = Canary();
  plan.mutable_phases(0)->set_soak_seconds(60);
  const Rollout rollout = Create(plan);
  AllHealthy(rollout);
  EXPECT_EQ(Get(rollout).state(), Rollout::SOAKING);
  Pass(59);
  EXPECT_THAT(Pending(rollout), IsEmpty());
  Pass(2);
  EXPECT_THAT(Pending(rollout), SizeIs(1));
}

TEST_F(PhasedTest, ACanaryThatBreaksWhileSoakingPausesTheRollout) {
  EnrollDevices(2);
  RolloutPlan plan = Canary();
  plan.mutable_phases(0)->set_soak_seconds(60);
  const Rollout rollout = Create(plan);
  const RolloutDevice canary = Pending(rollout).at(0);
  Ends(canary, ModelStatus::HEALTHY);
  Ends(canary, ModelStatus::FAILED, "out_of_memory");
  Pass(60);
  const Rollout now = Get(rollout);
  EXPECT_EQ(now.state(), Rollout::PAUSED);
  EXPECT_EQ(Row(now, canary.device_id()).code(), RolloutDevice::OUT_OF_MEMORY);
  EXPECT_THAT(In(now, RolloutDevice::QUEUED), SizeIs(1));
}

TEST_F(PhasedTest, AnApprovalThatIsRepeatedOpensNoSecondGate) {
  EnrollDevices(3);
  RolloutPlan plan;
  plan.add_phases()->set_count(1);
  plan.mutable_phases(0)->set_approval(true);
  plan.add_phases()->set_approval(true);
  const Rollout rollout = Create(plan);
  EXPECT_EQ(Get(rollout).state(), Rollout::AWAITING_APPROVAL);
  EXPECT_ERROR(rollouts_.Approve(rollout.name(), 2), kFailedPrecondition, "phase 2");
  ASSERT_OK(rollouts_.Approve(rollout.name(), 1).status());
  ASSERT_OK(rollouts_.Approve(rollout.name(), 1).status());
  AllHealthy(rollout);
  ASSERT_OK(rollouts_.Approve(rollout.name(), 1).status());
  EXPECT_EQ(Get(rollout).state(), Rollout::AWAITING_APPROVAL);
  ASSERT_OK(rollouts_.Approve(rollout.name(), 2).status());
  EXPECT_THAT(Pending(rollout), SizeIs(2));
}

TEST_F(PhasedTest, AGateWithNobodyBehindItIsNone) {
  const auto ids = EnrollDevices(2);
  RolloutPlan plan = Canary();
  plan.mutable_phases(1)->set_approval(true);
  const Rollout old = Create(plan);
  AllHealthy(old);
  EXPECT_EQ(Get(old).state(), Rollout::AWAITING_APPROVAL);
  Create({});
  EXPECT_EQ(Get(old).state(), Rollout::COMPLETED);
}

TEST_F(PhasedTest, ADraftTellsNobodyAndTakesDevicesOverWhenItBegins) {
  const auto ids = EnrollDevices(1);
  const Rollout running = Create({});
  const Rollout draft = Create({}, /*draft=*/true);
  Pass(100);
  EXPECT_EQ(Get(draft).state(), Rollout::DRAFT);
  EXPECT_EQ(Row(Get(running), ids[0]).state(), RolloutDevice::PENDING);
  Act(draft, RolloutEvent::kApprove);
  EXPECT_EQ(Row(Get(draft), ids[0]).release(), 2u);
  EXPECT_EQ(Row(Get(running), ids[0]).code(), RolloutDevice::SUPERSEDED);
  EXPECT_EQ(Get(running).state(), Rollout::COMPLETED);
}

TEST_F(PhasedTest, TheRateAndTheWindowAreKept) {
  EnrollDevices(5);
  RolloutPlan plan;
  plan.set_devices_per_minute(1);
  const Rollout slow = Create(plan);
  EXPECT_THAT(Pending(slow), SizeIs(1));
  Pass(30);
  EXPECT_THAT(Pending(slow), SizeIs(1));
  Pass(31);
  EXPECT_THAT(Pending(slow), SizeIs(2));
  plan.clear_devices_per_minute();
  const auto minute = static_cast<uint32_t>(ToUnixMillis(clock_.Now()) / 60'000 % 1440);
  plan.add_windows()->set_start_minute((minute + 2) % 1440);
  plan.mutable_windows(0)->set_end_minute((minute + 4) % 1440);
  const Rollout night = Create(plan);
  EXPECT_THAT(Pending(night), IsEmpty());
  EXPECT_EQ(Get(night).state(), Rollout::RUNNING);
  Pass(180);
  EXPECT_THAT(Pending(night), SizeIs(5));
}

TEST_F(PhasedTest, AnOfflineDeviceTimesOut) {
  EnrollDevices(2);
  RolloutPlan plan;
  plan.set_device_timeout_seconds(600);
  const Rollout rollout = Create(plan);
  Ends(Pending(rollout).at(0), ModelStatus::HEALTHY);
  Pass(599);
  EXPECT_EQ(Get(rollout).state(), Rollout::RUNNING);
  Pass(1);
  const Rollout now = Get(rollout);
  EXPECT_EQ(now.state(), Rollout::FAILED);
  const auto failed = In(now, RolloutDevice::FAILED);
  ASSERT_THAT(failed, SizeIs(1));
  EXPECT_EQ(failed[0].code(), RolloutDevice::TIMED_OUT);
  EXPECT_THAT(failed[0].reason(), HasSubstr("600 s"));
}

TEST_F(PhasedTest, ADeadlineOfAClockThatWasAheadBeginsAnew) {
  EnrollDevices(1);
  RolloutPlan plan;
  plan.set_device_timeout_seconds(600);
  const Rollout rollout = Create(plan);
  RolloutDevice row = Pending(rollout).at(0);
  row.set_deadline_ms(row.deadline_ms() + int64_t{400} * 86'400'000);
  ASSERT_OK(Once(*store_)->rollouts().PutDevice(rollout.name(), row));
  Pass(1);
  EXPECT_EQ(Row(Get(rollout), row.device_id()).deadline_ms(), ToUnixMillis(clock_.Now()) + 600'000);
  Pass(600);
  EXPECT_EQ(In(Get(rollout), RolloutDevice::FAILED).size(), 1u);
}

TEST_F(PhasedTest, APhaseOpenedByAClockThatWasAheadGoesOn) {
  EnrollDevices(2);
  RolloutPlan plan;
  plan.set_max_in_flight(1);
  const Rollout rollout = Create(plan);
  Rollout record = Once(*store_)->rollouts().GetRecord(rollout.name()).value();
  record.set_phase_opened_ms(record.phase_opened_ms() + int64_t{400} * 86'400'000);
  ASSERT_OK(Once(*store_)->rollouts().PutRecord(record));
  Ends(Pending(rollout).at(0), ModelStatus::HEALTHY);
  Pass(1);
  EXPECT_THAT(Pending(Get(rollout)), SizeIs(1));
}

// Jumps while the daemon runs: no device fails for it, and no soak is over.
TEST_F(PhasedTest, AClockThatJumpsMovesNoRollout) {
  EnrollDevices(1);
  RolloutPlan plan;
  plan.set_device_timeout_seconds(600);
  const Rollout rollout = Create(plan);
  for (const std::chrono::hours jump : {std::chrono::hours(24 * 400), std::chrono::hours(-48)}) {
    clock_.Advance(jump);
    EXPECT_ERROR(rollouts_.Tick(), kFailedPrecondition, "daemon's clock");
    clock_.Advance(-jump);
    Pass(1);
    EXPECT_THAT(Pending(Get(rollout)), SizeIs(1));
  }
}

TEST_F(PhasedTest, WithoutAPlanADeviceHasADay) {
  EnrollDevices(1);
  const Rollout rollout = Create({});
  Pass(86'399);
  EXPECT_EQ(Get(rollout).state(), Rollout::RUNNING);
  Pass(1);
  EXPECT_EQ(Get(rollout).state(), Rollout::FAILED);
}

TEST_F(PhasedTest, AbortClosesWhoIsNotThrough) {
  EnrollDevices(3);
  RolloutPlan plan;
  plan.set_max_in_flight(1);
  const Rollout rollout = Create(plan);
  Ends(Pending(rollout).at(0), ModelStatus::HEALTHY);
  const Rollout now = Act(rollout, RolloutEvent::kAbort);
  EXPECT_EQ(now.state(), Rollout::ABORTED);
  EXPECT_THAT(In(now, RolloutDevice::HEALTHY), SizeIs(1));
  EXPECT_THAT(In(now, RolloutDevice::SKIPPED), SizeIs(2));
  for (const RolloutDevice& row : In(now, RolloutDevice::SKIPPED))
    EXPECT_EQ(row.code(), RolloutDevice::CANCELLED);
  // Who was under way may have taken it: the way back includes it.
  EXPECT_THAT(In(Act(rollout, RolloutEvent::kRollBack), RolloutDevice::ROLLING_BACK), SizeIs(2));
}

TEST_F(PhasedTest, ADryRunKeepsNothingAndSaysWhatComes) {
  EnrollDevices(4);
  Rollouts::CreateRequest request{"", "demo", {}, {}};
  request.plan = Canary();
  request.dry_run = true;
  const auto dry = rollouts_.Create(request);
  ASSERT_OK(dry.status());
  EXPECT_TRUE(Once(*store_)->rollouts().List()->empty());
  const Rollout real = Create(Canary());
  for (const RolloutDevice& row : dry->devices()) {
    EXPECT_EQ(row.phase(), Row(real, row.device_id()).phase());
    EXPECT_EQ(row.bytes(), 1000u);
  }
}

TEST_F(PhasedTest, AnEstimateRestsOnWhatDevicesTook) {
  const auto ids = EnrollDevices(3);
  Rollouts::CreateRequest request{"", "demo", {}, {}};
  request.plan.set_max_in_flight(1);
  request.dry_run = true;
  EXPECT_EQ(rollouts_.Create(request)->estimate().measured_devices(), 0u);
  request.dry_run = false;
  const auto rollout = rollouts_.Create(request);
  ASSERT_OK(rollout.status());
  // 30 s of check-in and 1000 bytes at 10 Mbit/s, three times.
  EXPECT_DOUBLE_EQ(rollout->estimate().seconds(), 3 * 30.001);
  for (size_t i = 0; i < ids.size(); ++i) {
    clock_.Advance(std::chrono::seconds(8));
    AllHealthy(*rollout);
  }
  ASSERT_EQ(Get(*rollout).state(), Rollout::COMPLETED);
  request.dry_run = true;
  const auto next = rollouts_.Create(request);
  ASSERT_OK(next.status());
  EXPECT_EQ(next->estimate().measured_devices(), 3u);
  EXPECT_EQ(next->estimate().bytes_per_second(), 125);
  EXPECT_EQ(next->estimate().device_seconds(), 8);
  EXPECT_EQ(next->estimate().seconds(), 24);
}

}  // namespace
}  // namespace quantfleet::daemon
