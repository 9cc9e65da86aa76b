// Rollouts of artifacts that the daemon does not have whole.
#include "tests/daemon/rollout/rollout_fixture.h"
#include "tests/daemon/store/once.h"
#include "tests/support/status_matchers.h"

namespace quantfleet::daemon {
namespace {

using v1::RolloutDevice;

class DamagedArtifactTest : public RolloutFixture {
 protected:
  DamagedArtifactTest() {
    Enrolled(first_);
    Enrolled(second_);
    Enrolled(edge_);
  }
  void Damage(const std::string& artifact) {
    ASSERT_OK(Once(*store_)->artifacts().MarkDamaged(artifact, {kBlob}, 5));
  }
  void Mend() { ASSERT_OK(Once(*store_)->artifacts().ClearDamage({kBlob})); }
  RolloutDevice RowOf(const v1::Rollout& rollout, const FakeDevice& device) {
    return Row(Get(rollout), device.id);
  }

  const Digest kBlob = HashText("a blob");
  FakeDevice first_{"iot"}, second_{"iot"}, edge_{"edge", 32768};
  const std::string q4_ = PutArtifact("iq4_nl"), f16_ = PutArtifact("f16");
};

TEST_F(DamagedArtifactTest, IsNotRolledOutUntilItIsWhole) {
  Damage(q4_);
  EXPECT_ERROR(rollouts_.Create({"", "demo", {}, {}}), kFailedPrecondition,
               "quantfleet artifact repair " + q4_.substr(q4_.find('/') + 1, 12));
  JobRecord job;
  job.job.set_name("jobs/1");
  job.job.set_state(v1::Job::QUEUED);
  job.job.add_repairs(q4_);
  ASSERT_OK(Once(*store_)->jobs().Create(job, {}));
  EXPECT_ERROR(rollouts_.Create({"", "demo", {}, {}}), kFailedPrecondition,
               "quantfleet job watch jobs/1");
  EXPECT_OK(rollouts_.Create({"", "demo", {edge_.id}, {}})) << "which needs another one";
  Mend();
  EXPECT_OK(rollouts_.Create({"", "demo", {first_.id}, {}}));
}

TEST_F(DamagedArtifactTest, DevicesWhoseTurnComesWaitForItAndHoldUpNoOther) {
  v1::RolloutPlan plan;
  plan.set_max_in_flight(1);
  const v1::Rollout rollout = Create(plan);
  const auto pending = In(Get(rollout), RolloutDevice::PENDING);
  ASSERT_EQ(pending.size(), 1u);
  Damage(q4_);
  Ends(pending[0], v1::ModelStatus::HEALTHY);
  // Whoever was first, the one of the other artifact has its turn.
  AllHealthy(rollout);
  EXPECT_EQ(RowOf(rollout, edge_).state(), RolloutDevice::HEALTHY);
  const auto held = In(Get(rollout), RolloutDevice::QUEUED);
  ASSERT_FALSE(held.empty());
  for (const RolloutDevice& row : held) {
    EXPECT_EQ(row.artifact(), q4_);
    EXPECT_EQ(row.code(), RolloutDevice::ARTIFACT_UNAVAILABLE);
    EXPECT_THAT(row.reason(), ::testing::HasSubstr("artifact repair"));
  }
  ASSERT_OK(rollouts_.Tick());
  EXPECT_EQ(Get(rollout).state(), v1::Rollout::RUNNING);
  EXPECT_EQ(In(Get(rollout), RolloutDevice::QUEUED).size(), held.size());

  Mend();
  ASSERT_OK(rollouts_.Tick());
  const auto next = In(Get(rollout), RolloutDevice::PENDING);
  ASSERT_EQ(next.size(), 1u);
  EXPECT_EQ(next[0].code(), RolloutDevice::CODE_UNSPECIFIED);
  EXPECT_EQ(next[0].reason(), "");
  while (!In(Get(rollout), RolloutDevice::PENDING).empty()) AllHealthy(rollout);
  EXPECT_EQ(Get(rollout).state(), v1::Rollout::COMPLETED);
}

}  // namespace
}  // namespace quantfleet::daemon
