// Larger precisions for devices whose class's own artifact is not good enough, and plans that ask
// for quality.
#include <gmock/gmock.h>

#include "daemon/rollout/match.h"
#include "daemon/rollout/plan.h"
#include "tests/daemon/rollout/rollout_fixture.h"
#include "tests/support/status_matchers.h"

namespace quantfleet::daemon {
namespace {

using ::testing::ElementsAre;
using testing::Names;

OfferedArtifact Offered(const std::string& recipe, uint64_t mib, double kl) {
  OfferedArtifact offered;
  offered.artifact.set_name("artifacts/" + recipe);
  offered.artifact.set_format("gguf");
  offered.artifact.set_recipe(recipe);
  offered.artifact.set_size_bytes(mib << 20);
  offered.memory.set_weights_bytes(mib << 20);
  if (kl < 0) return offered;
  v1::EvaluationStatement& evaluation = offered.evaluations.emplace_back();
  evaluation.set_tokens(255);
  evaluation.set_mean_kl(kl);
  evaluation.set_top1_agreement(1 - kl);
  return offered;
}

class StepUpTest : public ::testing::Test {
 protected:
  StepUpTest() {
    device_.set_id("d");
    device_.set_state(v1::Device::ACTIVE);
    device_.set_device_class("small");
    device_.mutable_facts()->set_memory_total_bytes(uint64_t{1} << 30);
    class_.name = "small";
    class_.format = "gguf";
    class_.recipe = "q4_0";
    class_.quality.set_max_kl(0.1);
  }
  v1::RolloutDevice Match(const v1::QualityLimits& gate = {}) const {
    return MatchDevice(device_, offered_, {class_}, "demo", gate);
  }

  v1::Device device_;
  DeviceClassSpec class_;
  std::vector<OfferedArtifact> offered_{Offered("q8_0", 200, 0.01), Offered("q3_k_s", 70, 0.09),
                                        Offered("q4_0", 90, 0.4),   Offered("f16", 400, 0),
                                        Offered("q5_0", 110, 0.2),  Offered("q2_k", 60, 0.9)};
};

// Two classes of one recipe, one of them plain.
TEST_F(StepUpTest, OfSeveralOfARecipeTheClassGetsTheOneRoundedAsItSays) {
  offered_.insert(offered_.begin(), Offered("q4_0", 91, 0.05));
  offered_.front().artifact.set_name("artifacts/fed-back");
  offered_.front().rounding = "feedback";
  class_.quality.Clear();
  EXPECT_EQ(Match().artifact(), "artifacts/q4_0");
  class_.rounding = pipeline::Rounding::kFeedback;
  EXPECT_EQ(Match().artifact(), "artifacts/fed-back");
  EXPECT_THAT(Match().step_down(), ElementsAre("artifacts/q3_k_s", "artifacts/q2_k"))
      << "none of the same recipe";
  class_.rounding = pipeline::Rounding::kSearch;
  EXPECT_EQ(Match().artifact(), "artifacts/fed-back") << "there is none: the first";
}

TEST_F(StepUpTest, OfSeveralOfARecipeTheClassGetsTheOneFoldedAsItSays) {
  offered_.insert(offered_.begin(), Offered("q4_0", 91, 0.05));
  offered_.front().artifact.set_name("artifacts/folded");
  offered_.front().folded = true;
  class_.quality.Clear();
  EXPECT_EQ(Match().artifact(), "artifacts/q4_0");
  class_.fold = true;
  EXPECT_EQ(Match().artifact(), "artifacts/folded");
}

TEST_F(StepUpTest, NoDeviceGetsMoreBytesThanItsClassAllows) {
  class_.recipe = "q8_0";
  class_.artifact_max_bytes = uint64_t{110} << 20;
  class_.step_down = false;
  class_.quality.Clear();
  const v1::RolloutDevice row = Match();
  EXPECT_EQ(row.artifact(), "artifacts/q5_0") << "the largest within";
  EXPECT_THAT(row.reason(), Names("a smaller precision", "artifacts/q8_0", "115343360"));
  EXPECT_THAT(row.step_down(), IsEmpty());
  class_.recipe = "q4_0";
  EXPECT_EQ(Match().artifact(), "artifacts/q4_0") << "as it says";
  class_.quality.set_max_kl(0.3);
  EXPECT_EQ(Match().artifact(), "artifacts/q5_0");
  class_.quality.set_max_kl(0.1);
  EXPECT_EQ(Match().code(), v1::RolloutDevice::NOT_GOOD_ENOUGH) << "q8_0 has too many bytes";
  class_.artifact_max_bytes = 10;
  EXPECT_EQ(Match().code(), v1::RolloutDevice::ARTIFACT_TOO_LARGE);
  EXPECT_THAT(Match().reason(), Names("artifacts/q4_0", "submit a job"));
}

TEST_F(StepUpTest, TheSmallestLargerOneThatIsGoodEnoughTakesTheOwnOnesPlace) {
  const v1::RolloutDevice row = Match();
  EXPECT_EQ(row.state(), v1::RolloutDevice::QUEUED);
  EXPECT_EQ(row.artifact(), "artifacts/q8_0");
  EXPECT_THAT(row.reason(), Names("a larger precision", "artifacts/q4_0", "artifacts/q5_0"));
  EXPECT_THAT(row.step_down(), ElementsAre("artifacts/q3_k_s")) << "the only smaller good one";
}

TEST_F(StepUpTest, OneThatIsGoodEnoughStays) {
  class_.quality.set_max_kl(0.4);
  EXPECT_EQ(Match().artifact(), "artifacts/q4_0");
}

TEST_F(StepUpTest, AClassMayForbidIt) {
  class_.step_up = false;
  const v1::RolloutDevice row = Match();
  EXPECT_EQ(row.state(), v1::RolloutDevice::SKIPPED);
  EXPECT_EQ(row.code(), v1::RolloutDevice::NOT_GOOD_ENOUGH);
}

TEST_F(StepUpTest, ADeviceThatCannotHoldTheLargerOneIsSkipped) {
  device_.mutable_facts()->set_memory_total_bytes(150 << 20);
  const v1::RolloutDevice row = Match();
  EXPECT_EQ(row.state(), v1::RolloutDevice::SKIPPED);
  EXPECT_EQ(row.code(), v1::RolloutDevice::TOO_LITTLE_MEMORY);
  EXPECT_THAT(row.reason(), Names("artifacts/q4_0", "artifacts/q8_0"));
}

TEST_F(StepUpTest, WhereNoneIsGoodEnoughTheDeviceIsSkipped) {
  class_.quality.set_max_kl(0.001);
  offered_.erase(offered_.begin() + 3);
  EXPECT_EQ(Match().code(), v1::RolloutDevice::NOT_GOOD_ENOUGH);
  offered_ = {Offered("q4_0", 90, -1), Offered("q8_0", 200, -1)};
  EXPECT_EQ(Match().code(), v1::RolloutDevice::NOT_GOOD_ENOUGH) << "nothing was measured";
}

TEST_F(StepUpTest, APlansLimitsHoldForEveryClass) {
  class_.quality.Clear();
  EXPECT_EQ(Match().artifact(), "artifacts/q4_0");
  v1::QualityLimits gate;
  gate.set_min_top1_agreement(0.85);
  EXPECT_EQ(Match(gate).artifact(), "artifacts/q8_0");
  class_.step_up = false;
  const v1::RolloutDevice row = Match(gate);
  EXPECT_EQ(row.code(), v1::RolloutDevice::NOT_GOOD_ENOUGH);
  EXPECT_THAT(row.reason(), Names("60.0 %", "the plan", "85.0 %"));
}

class QualityGateTest : public RolloutFixture {
 protected:
  QualityGateTest() {
    ArtifactRecord record = SomeArtifact("iq4_nl", 10, "", "demo", nullptr);
    v1::EvaluationStatement evaluation;
    evaluation.set_tokens(255);
    evaluation.set_reference("gguf:f16");
    evaluation.set_top1_agreement(0.961);
    evaluation.set_mean_kl(0.012);
    evaluation.set_kl_error(0.001);
    evaluation.add_golden()->add_prompt(1);
    record.statements.push_back(*authority_->SignStatement(trust::kEvaluationStatementType,
                                                           evaluation.SerializeAsString()));
    EXPECT_OK(Once(*store_)->artifacts().Put(record));
    device_ = EnrollDevices(1).front();
  }
  absl::StatusOr<v1::Rollout> Begin(double max_kl, bool dry_run = false, bool dynamic = false) {
    Rollouts::CreateRequest request{"", "demo", {}, {}};
    request.plan.mutable_quality()->set_max_kl(max_kl);
    request.plan.set_dynamic(dynamic);
    request.dry_run = dry_run;
    return rollouts_.Create(request);
  }
  std::string device_;
};

TEST_F(QualityGateTest, ARolloutWhoseArtifactsMissItIsRefused) {
  EXPECT_ERROR(Begin(0.01), kFailedPrecondition, "class iot-int4 (1 device)", "0.0120", "0.0100");
  EXPECT_ERROR(Begin(0.01, true), kFailedPrecondition, "0.0120");
  EXPECT_ERROR(Begin(-1), kInvalidArgument, "quality");
  EXPECT_ERROR(Begin(0.01, false, true), kFailedPrecondition, "0.0120");
  const auto made = Begin(0.05);
  ASSERT_OK(made);
  EXPECT_EQ(Row(*made, device_).state(), v1::RolloutDevice::PENDING);
}

TEST_F(QualityGateTest, AnswersSayWhatWasMeasured) {
  for (const bool dry_run : {true, false}) {
    const auto made = Begin(0.05, dry_run);
    ASSERT_OK(made);
    ASSERT_EQ(made->measured_size(), 1);
    EXPECT_EQ(made->measured(0).name(), made->artifacts(0));
    EXPECT_EQ(made->measured(0).size_bytes(), 10u << 20);
    EXPECT_EQ(made->measured(0).evaluation().top1_agreement(), 0.961);
    EXPECT_EQ(made->measured(0).evaluation().golden_size(), 0);
    if (!dry_run) {
      EXPECT_EQ(Get(*made).measured_size(), 0) << "not stored: it may be measured again";
    }
  }
}

TEST(QualityPlan, IsReadFromItsFile) {
  const auto plan = ParsePlan("[quality]\nmin_top1_agreement = 0.95\nmax_kl = 0.02\n");
  ASSERT_OK(plan);
  EXPECT_EQ(plan->quality().min_top1_agreement(), 0.95);
  EXPECT_EQ(plan->quality().max_kl(), 0.02);
  EXPECT_FALSE(plan->quality().has_max_nll_increase());
  EXPECT_FALSE(ParsePlan("max_in_flight = 1\n")->has_quality());
  EXPECT_ERROR(ParsePlan("[quality]\nmax_loss = 1\n"), kInvalidArgument, "quality.max_loss");
}

}  // namespace
}  // namespace quantfleet::daemon
