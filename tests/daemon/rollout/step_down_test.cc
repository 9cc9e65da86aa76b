// Smaller precisions for devices that the class's own is too much for, and downloads that wait for
// their budget.
#include <gmock/gmock.h>

#include "common/trust/statement.h"
#include "tests/daemon/rollout/rollout_fixture.h"
#include "tests/daemon/store/once.h"
#include "tests/support/status_matchers.h"

namespace quantfleet::daemon {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::Names;

class StepDownTest : public RolloutFixture {
 protected:
  StepDownTest() {
    Enrolled(device_);
    large_ = PutArtifact("f16", 40);
    middle_ = PutArtifact("q8_0", 20);
    small_ = PutArtifact("q4_0", 10);
  }
  v1::Rollout Begin() {
    const auto made = rollouts_.Create({"", "demo", {device_.id}, {}});
    EXPECT_OK(made.status());
    return made.ok() ? *made : v1::Rollout();
  }
  v1::Assignment Told() {
    const v1::Signed statement = Assignments(device_.id).front().statement;
    v1::Assignment assignment;
    EXPECT_TRUE(assignment.ParseFromString(statement.payload()));
    return assignment;
  }
  static std::string Raw(const std::string& artifact) {
    return Digest::FromHexText(artifact.substr(artifact.find('/') + 1))->raw();
  }
  v1::Device Device() { return Once(*store_)->devices().Get(device_.id).value(); }
  v1::ModelStatus SteppedDown(const v1::RolloutDevice& row) {
    v1::ModelStatus status = Status(row, v1::ModelStatus::HEALTHY);
    status.set_active_manifest(Raw(middle_));
    v1::StepDown& step = *status.add_stepped_down();
    step.set_manifest(Raw(large_));
    step.set_reason("too_slow");
    step.set_detail("the speed is 0.50 tokens/s, the class requires 2.00");
    return status;
  }

  FakeDevice device_{"edge", 64 << 10};
  std::string large_, middle_, small_;
};

TEST_F(StepDownTest, TheDeviceIsToldWhereItMayGoOn) {
  const v1::Rollout rollout = Begin();
  const v1::RolloutDevice row = Row(rollout, device_.id);
  EXPECT_EQ(row.artifact(), large_);
  EXPECT_THAT(row.step_down(), ElementsAre(middle_, small_));
  EXPECT_THAT(Told().step_down(), ElementsAre(Raw(middle_), Raw(small_)));
  for (const std::string& artifact : {large_, middle_, small_}) {
    EXPECT_TRUE(Once(*store_)->assignments().IsAssigned(device_.id, Raw(artifact)).value());
    EXPECT_ERROR(Once(*store_)->artifacts().Delete(artifact), kFailedPrecondition, device_.id);
  }
  EXPECT_FALSE(
      Once(*store_)->assignments().IsAssigned(device_.id, HashText("another").raw()).value());
}

TEST_F(StepDownTest, OneThatSteppedDownIsHealthyAndRemembered) {
  const v1::Rollout rollout = Begin();
  Says(device_.id, {SteppedDown(Row(rollout, device_.id))});
  const v1::RolloutDevice row = Row(Get(rollout), device_.id);
  EXPECT_EQ(row.state(), v1::RolloutDevice::HEALTHY);
  EXPECT_EQ(row.code(), v1::RolloutDevice::TOO_SLOW);
  EXPECT_EQ(row.artifact(), middle_);
  EXPECT_THAT(row.reason(), Names("too_slow", "0.50"));
  EXPECT_EQ(Get(rollout).state(), v1::Rollout::COMPLETED);
  ASSERT_EQ(Device().outgrown_size(), 1);
  EXPECT_EQ(Device().outgrown(0).recipe(), "f16");
  // Said again it changes nothing.
  Says(device_.id, {SteppedDown(row)});
  EXPECT_EQ(Device().outgrown_size(), 1);
  EXPECT_EQ(Row(Get(rollout), device_.id).SerializeAsString(), row.SerializeAsString());

  // The next version begins where the last one ended.
  large_ = PutArtifact("f16", 40, "v2");
  middle_ = PutArtifact("q8_0", 20, "v2");
  const v1::RolloutDevice next = Row(Begin(), device_.id);
  EXPECT_EQ(next.artifact(), middle_);
  EXPECT_EQ(next.state(), v1::RolloutDevice::PENDING);
  EXPECT_THAT(next.reason(), HasSubstr("device step-up"));
}

TEST_F(StepDownTest, StepsThatEndInNothingAreNotRemembered) {
  v1::ModelStatus status = SteppedDown(Row(Begin(), device_.id));
  status.set_phase(v1::ModelStatus::FAILED);
  status.set_reason("too_slow");
  status.clear_active_manifest();
  Says(device_.id, {status});
  EXPECT_EQ(Device().outgrown_size(), 0);
}

TEST_F(StepDownTest, AnOperatorOrAnotherMachineLetsItTryAgain) {
  const v1::ModelStatus said = SteppedDown(Row(Begin(), device_.id));
  Says(device_.id, {said});
  ASSERT_EQ(Device().outgrown_size(), 1);
  ASSERT_OK(fleet_.ForgetOutgrown(device_.id, "another").status());
  EXPECT_FALSE(Device().outgrown(0).forgotten());
  ASSERT_OK(fleet_.ForgetOutgrown(device_.id, "demo").status());
  EXPECT_TRUE(Device().outgrown(0).forgotten());
  // The device goes on telling of what it knows: that is nothing new.
  Says(device_.id, {said});
  EXPECT_TRUE(Device().outgrown(0).forgotten());
  const v1::RolloutDevice next = Row(Begin(), device_.id);
  EXPECT_EQ(next.artifact(), large_);
  Says(device_.id, {SteppedDown(next)});
  ASSERT_EQ(Device().outgrown_size(), 1);
  EXPECT_FALSE(Device().outgrown(0).forgotten()) << "it stepped down again";
  v1::HardwareFacts facts = device_.facts;
  ASSERT_OK(CheckIn(device_.id, "test", &facts, {}).status());
  EXPECT_FALSE(Device().outgrown(0).forgotten());
  facts.set_memory_total_bytes(uint64_t{128} << 30);
  ASSERT_OK(CheckIn(device_.id, "test", &facts, {}).status());
  EXPECT_TRUE(Device().outgrown(0).forgotten());
}

TEST_F(StepDownTest, WhatWillNotFitIsNotEvenTried) {
  large_ = PutArtifact("f16", 100 << 10, "huge");
  const v1::RolloutDevice row = Row(Begin(), device_.id);
  EXPECT_EQ(row.artifact(), middle_);
  EXPECT_THAT(row.reason(), HasSubstr("a smaller precision"));
  EXPECT_THAT(row.step_down(), ElementsAre(small_));
}

TEST_F(StepDownTest, AClassMayForbidIt) {
  ASSERT_OK(classes_
                .Apply("name = \"edge-only\"\nformat = \"gguf\"\nrecipe = \"f16\"\npriority = "
                       "1000\nstep_down = false\n")
                .status());
  ASSERT_OK(CheckIn(device_.id, "test", &device_.facts, {}).status());
  EXPECT_THAT(Row(Begin(), device_.id).step_down(), ElementsAre());
  large_ = PutArtifact("f16", 100 << 10, "huge");
  EXPECT_ERROR(rollouts_.Create({"", "demo", {device_.id}, {}}), kFailedPrecondition, "64.0 GiB",
               "no context");
}

TEST_F(StepDownTest, AWayBackHasNoSteps) {
  const v1::Rollout first = Begin();
  Ends(Row(first, device_.id), v1::ModelStatus::HEALTHY);
  large_ = PutArtifact("f16", 40, "v2");
  const v1::Rollout second = Begin();
  ASSERT_OK(rollouts_.Act(second.name(), RolloutEvent::kRollBack, "").status());
  EXPECT_EQ(Told().step_down_size(), 0);
}

class BudgetTest : public StepDownTest {
 protected:
  BudgetTest() {
    EXPECT_OK(classes_
                  .Apply("name = \"metered\"\nformat = \"gguf\"\nrecipe = \"q4_0\"\npriority = "
                         "1000\n[network]\nbudget_mib = 5\n"
                         "max_kib_per_second = 64\n")
                  .status());
    EXPECT_OK(CheckIn(device_.id, "test", &device_.facts, {}).status());
  }
  v1::ModelStatus Waiting(const v1::RolloutDevice& row) {
    v1::ModelStatus status = Status(row, v1::ModelStatus::AWAITING_APPROVAL, "over_budget");
    status.set_detail("10.0 MiB are to be pulled, 5.0 MiB are left");
    return status;
  }
};

TEST_F(BudgetTest, TheClassesLimitsGoToTheDevice) {
  Begin();
  EXPECT_EQ(Told().network().budget_bytes(), 5u << 20);
  EXPECT_EQ(Told().network().budget_days(), 30u);
  EXPECT_EQ(Told().network().max_bytes_per_second(), 64u << 10);
  EXPECT_FALSE(Told().network().over_budget());
}

TEST_F(BudgetTest, ADownloadThatWaitsIsSeenAndAllowed) {
  const v1::Rollout rollout = Begin();
  EXPECT_ERROR(rollouts_.AllowDownload(rollout.name(), {device_.id}), kFailedPrecondition, "waits");
  Says(device_.id, {Waiting(Row(rollout, device_.id))});
  v1::RolloutDevice row = Row(Get(rollout), device_.id);
  EXPECT_EQ(row.state(), v1::RolloutDevice::IN_PROGRESS);
  EXPECT_EQ(row.code(), v1::RolloutDevice::OVER_BUDGET);
  EXPECT_THAT(row.reason(), HasSubstr("5.0 MiB"));

  ASSERT_OK(rollouts_.AllowDownload(rollout.name(), {}).status());
  row = Row(Get(rollout), device_.id);
  EXPECT_EQ(row.release(), 2u);
  EXPECT_EQ(row.code(), v1::RolloutDevice::CODE_UNSPECIFIED);
  EXPECT_TRUE(Told().network().over_budget());
  EXPECT_EQ(Told().release(), 2u);
  EXPECT_EQ(Told().manifest_digest(), Raw(small_));
  Ends(row, v1::ModelStatus::HEALTHY);
  EXPECT_EQ(Get(rollout).state(), v1::Rollout::COMPLETED);
}

TEST_F(BudgetTest, TimeMayLetItGoOnToo) {
  const v1::Rollout rollout = Begin();
  Says(device_.id, {Waiting(Row(rollout, device_.id))});
  Ends(Row(rollout, device_.id), v1::ModelStatus::DOWNLOADING);
  EXPECT_EQ(Row(Get(rollout), device_.id).code(), v1::RolloutDevice::CODE_UNSPECIFIED);
  EXPECT_EQ(Row(Get(rollout), device_.id).reason(), "");
  EXPECT_ERROR(rollouts_.AllowDownload(rollout.name(), {device_.id}), kFailedPrecondition, "waits");
}

}  // namespace
}  // namespace quantfleet::daemon
