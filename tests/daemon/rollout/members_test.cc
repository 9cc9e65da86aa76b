// Who takes part: by label, by group, and by joining later.
#include "tests/daemon/rollout/phased_fixture.h"

namespace quantfleet::daemon {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;
using v1::Rollout;
using v1::RolloutDevice;
using v1::RolloutPlan;

class MembersTest : public PhasedFixture {};

TEST_F(MembersTest, ASelectorChoosesByLabels) {
  const auto ids = EnrollDevices(2);
  ASSERT_OK(fleet_.Label(ids[0], {{"site", "lab"}}, {}).status());
  Rollouts::CreateRequest request{"", "demo", {}, {}};
  request.selector = {{"site", "lab"}};
  const auto rollout = rollouts_.Create(request);
  ASSERT_OK(rollout.status());
  ASSERT_EQ(rollout->devices_size(), 1);
  EXPECT_EQ(rollout->devices(0).device_id(), ids[0]);
  request.selector = {{"site", "moon"}};
  EXPECT_ERROR(rollouts_.Create(request), kFailedPrecondition, "selector");
}

TEST_F(MembersTest, AGroupIsAPhaseAndNarrowsAWholeRollout) {
  const auto ids = EnrollDevices(4);
  v1::DeviceGroup group;
  group.set_name("lab");
  group.add_device_ids(ids[1]);
  (*group.mutable_selector())["site"] = "lab";
  ASSERT_OK(ApplyGroup(*store_, group, clock_.Now()).status());
  ASSERT_OK(fleet_.Label(ids[2], {{"site", "lab"}}, {}).status());
  RolloutPlan plan;
  plan.add_phases()->set_group("lab");
  const Rollout rollout = Create(plan);
  ASSERT_THAT(Pending(rollout), SizeIs(2));
  for (const std::string& id : {ids[1], ids[2]}) EXPECT_EQ(Row(rollout, id).phase(), 0u);
  EXPECT_ERROR(Once(*store_)->groups().Delete("lab"), kFailedPrecondition, "group lab",
               rollout.name());
  AllHealthy(rollout);
  AllHealthy(rollout);
  ASSERT_EQ(Get(rollout).state(), Rollout::COMPLETED);

  Rollouts::CreateRequest request{"", "demo", {ids[0], ids[1]}, {}};
  request.group = "lab";
  const auto narrowed = rollouts_.Create(request);
  ASSERT_OK(narrowed.status());
  EXPECT_EQ(narrowed->devices_size(), 1);
  EXPECT_EQ(narrowed->group(), "lab");
  EXPECT_ERROR(Once(*store_)->groups().Delete("lab"), kFailedPrecondition, "group lab",
               narrowed->name());
  request.device_ids = {ids[0]};
  EXPECT_ERROR(rollouts_.Create(request), kFailedPrecondition, "quantfleet group show lab");
  request.group = "nowhere";
  EXPECT_ERROR(rollouts_.Create(request), kNotFound, "quantfleet group apply nowhere");
  plan.mutable_phases(0)->set_group("nowhere");
  EXPECT_ERROR(rollouts_.Create({"", "demo", {}, {}, plan}), kNotFound, "nowhere");
}

TEST_F(MembersTest, ADynamicRolloutAsksTheGroupAsItIs) {
  const auto ids = EnrollDevices(3);
  v1::DeviceGroup group;
  group.set_name("lab");
  group.add_device_ids(ids[0]);
  ASSERT_OK(ApplyGroup(*store_, group, clock_.Now()).status());
  Rollouts::CreateRequest request{"", "demo", {}, {}};
  request.plan.set_dynamic(true);
  request.group = "lab";
  const auto rollout = rollouts_.Create(request);
  ASSERT_OK(rollout.status());
  AllHealthy(*rollout);
  Says(ids[1], {});
  EXPECT_EQ(Get(*rollout).devices_size(), 1);
  group.add_device_ids(ids[1]);
  ASSERT_OK(ApplyGroup(*store_, group, clock_.Now()).status());
  Says(ids[1], {});
  EXPECT_EQ(Row(Get(*rollout), ids[1]).state(), RolloutDevice::PENDING);
  AllHealthy(*rollout);
  // Over, it does not keep the group; without it nobody joins any more.
  ASSERT_OK(Once(*store_)->groups().Delete("lab").status());
  Says(ids[2], {});
  EXPECT_EQ(Get(*rollout).devices_size(), 2);
}

TEST_F(MembersTest, LaterDevicesJoinADynamicRolloutEvenWhenItIsOver) {
  EnrollDevices(1);
  RolloutPlan plan;
  plan.set_dynamic(true);
  const Rollout rollout = Create(plan);
  AllHealthy(rollout);
  ASSERT_EQ(Get(rollout).state(), Rollout::COMPLETED);
  const auto later = EnrollDevices(1);
  Says(later[0], {});
  EXPECT_EQ(Get(rollout).state(), Rollout::RUNNING);
  EXPECT_EQ(Row(Get(rollout), later[0]).state(), RolloutDevice::PENDING);
  AllHealthy(rollout);
  EXPECT_EQ(Get(rollout).state(), Rollout::COMPLETED);
  // What was rolled back stays so: nobody joins any more.
  Act(rollout, RolloutEvent::kRollBack);
  const auto latest = EnrollDevices(1);
  Says(latest[0], {});
  EXPECT_THAT(*Once(*store_)->assignments().List(latest[0]), IsEmpty());
}

TEST_F(MembersTest, ADeviceThatJoinsGetsTheNewestRolloutAlone) {
  EnrollDevices(1);
  RolloutPlan plan;
  plan.set_dynamic(true);
  const Rollout old = Create(plan);
  AllHealthy(old);
  PutArtifact("iq4_nl", 1, "v2");
  const Rollout newer = Create(plan);
  const auto later = EnrollDevices(1);
  Says(later[0], {});
  Says(later[0], {});
  EXPECT_EQ(Get(old).devices_size(), 1);
  EXPECT_EQ(Row(Get(newer), later[0]).release(), 1u);
}

TEST_F(MembersTest, ADeviceIsMatchedAnewWhenItsTurnComes) {
  const auto ids = EnrollDevices(2);
  const Rollout rollout = Create(Canary());
  const std::string waiting = In(rollout, RolloutDevice::QUEUED).at(0).device_id();
  ASSERT_OK(Revoke(waiting).status());
  AllHealthy(rollout);
  EXPECT_EQ(Row(Get(rollout), waiting).code(), RolloutDevice::REVOKED);
  EXPECT_EQ(Get(rollout).state(), Rollout::COMPLETED);
}

}  // namespace
}  // namespace quantfleet::daemon
