#include "cli/rollout_plan.h"

#include "cli/rollout_text.h"
#include "tests/support/status_matchers.h"

namespace quantfleet::cli {
namespace {

using ::testing::HasSubstr;
using testing::Names;
using v1::RolloutDevice;

TEST(ParsePhaseTest, CountsSharesLabelsAndTheRest) {
  EXPECT_EQ(ParsePhase("5")->count(), 5u);
  EXPECT_EQ(ParsePhase("10%")->percent(), 10u);
  const auto labelled = ParsePhase("ring=early,site=lab");
  ASSERT_OK(labelled.status());
  EXPECT_EQ(labelled->labels().at("ring"), "early");
  EXPECT_EQ(labelled->labels().at("site"), "lab");
  EXPECT_EQ(ParsePhase("group:lab")->group(), "lab");
  EXPECT_EQ(PhaseText(*ParsePhase("group:lab")), "group lab");
  EXPECT_EQ(ParsePhase("rest")->ByteSizeLong(), 0u);
  for (const char* bad : {"", "0", "0%", "101%", "-1", "5x", "%", "1.5%", "=early",
                          "ring=early,site", "99999999999", "group:"})
    EXPECT_ERROR(ParsePhase(bad), kInvalidArgument, "--phase");
}

TEST(MakePlanTest, WithoutOptionsItIsAllAtOnce) {
  const auto plan = MakePlan({});
  ASSERT_OK(plan.status());
  ASSERT_EQ(plan->phases_size(), 1);
  EXPECT_EQ(plan->phases(0).ByteSizeLong(), 0u);
  EXPECT_FALSE(plan->has_success_percent());
  EXPECT_FALSE(plan->has_max_failures());
}

TEST(MakePlanTest, TheRestHasItsGateAndSoakTimeToo) {
  PlanOptions options;
  options.phases = {"1", "10%"};
  options.soak = "10m";
  options.approve = true;
  const auto plan = MakePlan(options);
  ASSERT_OK(plan.status());
  ASSERT_EQ(plan->phases_size(), 3);
  EXPECT_FALSE(plan->phases(0).approval());
  EXPECT_TRUE(plan->phases(1).approval());
  EXPECT_TRUE(plan->phases(2).approval());
  EXPECT_EQ(plan->phases(2).soak_seconds(), 600u);
  options.phases.push_back("100%");
  EXPECT_EQ(MakePlan(options)->phases_size(), 3);
}

TEST(MakePlanTest, ReadsLimits) {
  PlanOptions options;
  options.max_failures = "5%";
  options.on_failure = "rollback";
  options.device_timeout = "1h30m";
  options.min_success = 0;
  const auto plan = MakePlan(options);
  ASSERT_OK(plan.status());
  EXPECT_EQ(plan->max_failure_percent(), 5u);
  EXPECT_FALSE(plan->has_max_failures());
  EXPECT_EQ(plan->on_failure(), v1::RolloutPlan::ROLL_BACK);
  EXPECT_EQ(plan->device_timeout_seconds(), 5400u);
  EXPECT_TRUE(plan->has_success_percent());
  EXPECT_FALSE(plan->has_quality());
  options.max_failures = "0";
  EXPECT_TRUE(MakePlan(options)->has_max_failures());
  options.min_top1_percent = 96.5;
  options.max_kl = 0;
  EXPECT_NEAR(MakePlan(options)->quality().min_top1_agreement(), 0.965, 1e-12);
  EXPECT_TRUE(MakePlan(options)->quality().has_max_kl());
}

TEST(MakePlanTest, ErrorsNameTheOption) {
  PlanOptions options;
  options.soak = "soon";
  EXPECT_ERROR(MakePlan(options), kInvalidArgument, "--soak");
  options = {};
  options.max_failures = "many";
  EXPECT_ERROR(MakePlan(options), kInvalidArgument, "--max-failures");
  options.max_failures = "101%";
  EXPECT_ERROR(MakePlan(options), kInvalidArgument, "--max-failures");
  options = {};
  options.device_timeout = "-1s";
  EXPECT_ERROR(MakePlan(options), kInvalidArgument, "--device-timeout");
}

TEST(RolloutTextTest, ADryRunSaysWhoGetsWhat) {
  v1::Rollout rollout;
  PlanOptions options;
  options.phases = {"1"};
  options.soak = "10m";
  *rollout.mutable_plan() = *MakePlan(options);
  auto& row = *rollout.add_devices();
  row.set_device_id("d-1");
  row.set_device_class("iot-int4");
  row.set_artifact("artifacts/0123456789abcdef");
  row.set_bytes(2 << 20);
  row.set_state(v1::RolloutDevice::QUEUED);
  auto& skipped = *rollout.add_devices();
  skipped.set_device_id("d-2");
  skipped.set_state(v1::RolloutDevice::SKIPPED);
  skipped.set_code(v1::RolloutDevice::NO_CLASS);
  skipped.set_reason("no device class fits");
  rollout.mutable_estimate()->set_seconds(3900);
  rollout.mutable_estimate()->add_phases()->set_seconds(600);
  rollout.mutable_estimate()->add_notes("assumed: 10 Mbit/s");
  rollout.mutable_estimate()->add_notes("without approvals");
  auto& measured = *rollout.add_measured();
  measured.set_name(row.artifact());
  measured.set_format("gguf");
  measured.set_recipe("q4_0");
  measured.set_size_bytes(3 << 20);
  measured.mutable_evaluation()->set_tokens(255);
  measured.mutable_evaluation()->set_reference("gguf:f16");
  measured.mutable_evaluation()->set_top1_agreement(0.961);
  const std::string text = DryRunText(rollout);
  EXPECT_THAT(text, Names("gguf:q4_0", "3.0 MiB", "96.1 % of F16's choices"));
  EXPECT_THAT(RolloutText(rollout, {}), Names("gguf:q4_0", "3.0 MiB", "96.1 % of F16's choices"));
  EXPECT_THAT(text, Names("1h 5m", "assumed: 10 Mbit/s", "without approvals"));
  EXPECT_THAT(text, HasSubstr("10m"));
  EXPECT_THAT(text, Names("1 device", "10m"));
  EXPECT_THAT(text, HasSubstr("0123456789ab"));
  EXPECT_THAT(text, Names("NO_CLASS", skipped.reason()));
  EXPECT_THAT(text, HasSubstr("2.0 MiB"));
}

TEST(RolloutTextTest, WhoIsLeftOutIsCountedByClassAndReason) {
  v1::Rollout rollout;
  EXPECT_THAT(LeftOutText(rollout), ::testing::IsEmpty());
  const auto add = [&](const char* id, const char* of, RolloutDevice::Code code,
                       const char* reason) {
    RolloutDevice& device = *rollout.add_devices();
    device.set_device_id(id);
    device.set_device_class(of);
    device.set_state(code == RolloutDevice::CODE_UNSPECIFIED ? RolloutDevice::QUEUED
                                                             : RolloutDevice::SKIPPED);
    device.set_code(code);
    device.set_reason(reason);
  };
  add("d1", "iot", RolloutDevice::CODE_UNSPECIFIED, "");
  add("d2", "mac", RolloutDevice::NO_ARTIFACT, "submit a job for class mac");
  add("d3", "mac", RolloutDevice::NO_ARTIFACT, "submit a job for class mac");
  add("d4", "iot", RolloutDevice::TOO_LITTLE_MEMORY, "it has 1 MiB");
  add("d5", "iot", RolloutDevice::TOO_LITTLE_MEMORY, "it has 2 MiB");
  add("d6", "", RolloutDevice::NO_CLASS, "none fits");
  const std::vector<std::string> lines = LeftOutText(rollout);
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_THAT(lines[0], Names("1 device ", "NO_CLASS", "none fits"));
  EXPECT_THAT(lines[1], Names("2 devices", "iot", "TOO_LITTLE_MEMORY", "d4"));
  EXPECT_THAT(lines[2], Names("2 devices", "mac", "NO_ARTIFACT", "submit a job"));
}

TEST(RolloutTextTest, StateReasonAndPhaseAreSaid) {
  v1::Rollout rollout;
  PlanOptions options;
  options.phases = {"1"};
  *rollout.mutable_plan() = *MakePlan(options);
  rollout.set_state(v1::Rollout::PAUSED);
  rollout.set_reason("failed devices: 2, which exceeds the limit of 1");
  const std::string text = RolloutText(rollout, FromUnixMillis(1000));
  EXPECT_THAT(text, HasSubstr("PAUSED"));
  EXPECT_THAT(text, HasSubstr(rollout.reason()));
  EXPECT_THAT(text, HasSubstr("1 of 2"));
}

}  // namespace
}  // namespace quantfleet::cli
