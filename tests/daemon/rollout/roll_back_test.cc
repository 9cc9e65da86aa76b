// The way back, with a store and signed assignments.
#include "tests/daemon/rollout/phased_fixture.h"
#include "tests/support/status_matchers.h"

namespace quantfleet::daemon {
namespace {

using testing::Names;
using ::testing::SizeIs;
using v1::ModelStatus;
using v1::Rollout;
using v1::RolloutDevice;
using v1::RolloutPlan;

class RollBackTest : public PhasedFixture {};

TEST_F(RollBackTest, TooManyFailuresRollBackWhoWasTold) {
  EnrollDevices(3);
  const Rollout before = Create({});
  AllHealthy(before);
  const std::string second = PutArtifact("iq4_nl", 1, "v2");
  RolloutPlan plan = Canary();
  plan.set_max_failures(0);
  plan.set_on_failure(RolloutPlan::ROLL_BACK);
  const Rollout rollout = Create(plan);
  const RolloutDevice canary = Pending(rollout).at(0);
  EXPECT_EQ(canary.artifact(), second);
  EXPECT_EQ(canary.previous_artifact(), first_);
  // The device went back by itself already.
  ModelStatus failed = Status(canary, ModelStatus::FAILED, "health_failed");
  failed.set_active_manifest(Once(*store_)->artifacts().Get(first_)->artifact.manifest_digest());
  Says(canary.device_id(), {failed});
  Rollout now = Get(rollout);
  EXPECT_EQ(now.state(), Rollout::ROLLING_BACK);
  EXPECT_THAT(now.reason(), Names("failed devices: 1", "limit of 0"));
  const RolloutDevice back = Row(now, canary.device_id());
  EXPECT_EQ(back.release(), 3u);
  EXPECT_EQ("artifacts/" + ToHex(AsBytes(Assigned(canary.device_id()).manifest_digest())), first_);
  EXPECT_THAT(In(now, RolloutDevice::SKIPPED), SizeIs(2));
  Ends(back, ModelStatus::HEALTHY);
  now = Get(rollout);
  EXPECT_EQ(now.state(), Rollout::ROLLED_BACK);
  EXPECT_EQ(Row(now, canary.device_id()).state(), RolloutDevice::ROLLED_BACK);
  EXPECT_EQ(Row(now, canary.device_id()).code(), RolloutDevice::HEALTH_FAILED)
      << "why it was taken back stays";
}

TEST_F(RollBackTest, ARuntimeComesAndGoesWithItsArtifact) {
  const auto apply = [&](const std::string& pace) {
    ASSERT_OK(classes_
                  .Apply("name='served'\nformat='gguf'\nrecipe='iq4_nl'\npriority=99\n[runtime]"
                         "\ncommand='server'\n"
                         "args=['{model}', '{port}', '" +
                         pace + "']\n")
                  .status());
  };
  apply("slow");
  FakeDevice device;
  device.facts.add_runtimes("server");
  Enrolled(device);
  const Rollout first = Create({});
  EXPECT_EQ(Assigned(device.id).runtime().command(), "server");
  EXPECT_EQ(Assigned(device.id).runtime().args(2), "slow");
  ModelStatus runs = Status(Row(Get(first), device.id), ModelStatus::HEALTHY);
  *runs.mutable_active_runtime() = Assigned(device.id).runtime();
  Says(device.id, {runs});
  apply("fast");
  const Rollout second = Create({});
  EXPECT_EQ(Assigned(device.id).runtime().args(2), "fast");
  Act(second, RolloutEvent::kRollBack);
  EXPECT_EQ(Assigned(device.id).release(), 3u);
  EXPECT_EQ(Assigned(device.id).runtime().args(2), "slow");
  // What a device says of its runtime comes back to it signed: nonsense does not.
  runs.mutable_active_runtime()->set_command("/bin/sh");
  EXPECT_FALSE(CheckIn(device.id, "test", nullptr, {runs}).ok());
}

TEST_F(RollBackTest, ADeviceThatRanNothingBeforeIsToldToRunNothing) {
  const auto ids = EnrollDevices(1);
  const Rollout rollout = Create({});
  AllHealthy(rollout);
  ASSERT_EQ(Get(rollout).state(), Rollout::COMPLETED);
  EXPECT_EQ(Act(rollout, RolloutEvent::kRollBack).state(), Rollout::ROLLING_BACK);
  EXPECT_EQ(Assigned(ids[0]).manifest_digest(), "");
  EXPECT_EQ(Assigned(ids[0]).release(), 2u);
  Ends(Row(Get(rollout), ids[0]), ModelStatus::REMOVED);
  EXPECT_EQ(Get(rollout).state(), Rollout::ROLLED_BACK);
}

TEST_F(RollBackTest, ARollbackLeavesWhoWasToldSomethingNewer) {
  const auto ids = EnrollDevices(2);
  const Rollout old = Create({});
  AllHealthy(old);
  PutArtifact("iq4_nl", 1, "v2");
  const auto newer = rollouts_.Create({"", "demo", {ids[0]}, {}});
  ASSERT_OK(newer.status());
  Act(old, RolloutEvent::kRollBack);
  EXPECT_EQ(Row(Get(old), ids[0]).state(), RolloutDevice::HEALTHY);
  EXPECT_EQ(Assigned(ids[0]).rollout(), newer->name());
  EXPECT_EQ(Row(Get(old), ids[1]).state(), RolloutDevice::ROLLING_BACK);
}

TEST_F(RollBackTest, ADeviceOfflineForTheWayBackTimesOutToo) {
  EnrollDevices(1);
  RolloutPlan plan;
  plan.set_device_timeout_seconds(600);
  const Rollout rollout = Create(plan);
  Act(rollout, RolloutEvent::kRollBack);
  Pass(601);
  EXPECT_EQ(Get(rollout).state(), Rollout::ROLLED_BACK);
  EXPECT_EQ(Get(rollout).devices(0).code(), RolloutDevice::TIMED_OUT);
}

}  // namespace
}  // namespace quantfleet::daemon
