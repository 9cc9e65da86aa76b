// Jobs whose artifacts miss the limits of a class make larger ones.
#include "daemon/jobs/step_up.h"

#include <gmock/gmock.h>

#include <fstream>
#include <future>

#include "daemon/jobs/class_bytes.h"
#include "daemon/jobs/job_target.h"
#include "pipeline/format/registry/open_model.h"
#include "pipeline/stage/plan_text.h"
#include "tests/daemon/jobs/jobs_fixture.h"
#include "tests/daemon/store/once.h"
#include "tests/support/status_matchers.h"

namespace quantfleet::daemon {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class StepUpTest : public JobsFixture {
 protected:
  StepUpTest() {
    source_ = *pipeline::OpenModel(files_, model_);
    spec_ = *ParseDeviceClass(
        "name = 'iot'\nformat = 'gguf'\nrecipe = 'q4_0'\n[quality]\nmax_kl = 0.1\n");
    job_.job.add_device_classes("iot");
    job_.targets = {"gguf:q4_0"};
  }
  std::string Next(std::string_view format, std::string_view recipe, uint64_t bytes = 0) {
    return NextLarger(*source_, format, recipe, bytes).value_or("none");
  }
  static MadeArtifact Made(const std::string& recipe, double kl) {
    MadeArtifact made{.target = "gguf:" + recipe};
    if (kl < 0) return made;
    made.evaluations.emplace_back().set_tokens(47);
    made.evaluations.back().set_mean_kl(kl);
    return made;
  }
  std::vector<std::string> Steps(const std::vector<MadeArtifact>& made) {
    std::vector<std::string> steps;
    for (const v1::StepUp& step : StepUpsOf(job_, {spec_}, made, *source_)) {
      EXPECT_EQ(step.device_class(), "iot");
      EXPECT_NE(step.reason(), "");
      steps.push_back(step.from() + " " + step.to());
    }
    return steps;
  }
  void ApplyClass(const std::string& limits) {
    v1::DeviceClass device_class;
    device_class.set_name("iot");
    device_class.set_format("gguf");
    device_class.set_recipe("q4_0");
    device_class.set_toml("name = 'iot'\nformat = 'gguf'\nrecipe = 'q4_0'\n" + limits);
    ASSERT_OK(Once(*store_)->classes().Put(device_class));
  }
  void MakeMeasuringRunner(std::function<void(size_t)> on_slab = nullptr) {
    runner_.reset();
    JobRunner::Options options;
    options.threads = 1;
    options.evaluation = {.tokens = 48};
    options.scratch = dir_ / "evaluation";
    options.data = dir_.path();
    options.on_slab_recorded = std::move(on_slab);
    runner_ = std::make_unique<JobRunner>(
        JobRunner::Collaborators{*store_, *authority_, blobs_, files_, random_, clock_}, options);
  }
  // The name of a job for the class that is stopped at its slab of this number, of all passes.
  std::string StopAtSlab(size_t number) {
    size_t recorded = 0;
    std::promise<void> reached;
    MakeMeasuringRunner([&](size_t) {
      if (++recorded != number) return;
      runner_->RequestStop();
      reached.set_value();
    });
    std::string name = Submit({"iot"});
    EXPECT_OK(runner_->Start());
    EXPECT_TRUE(testing::Arrives(reached.get_future()));
    runner_->Stop();
    return name;
  }
  static std::vector<std::string> RecipesOf(const v1::Job& job) {
    std::vector<std::string> recipes;
    for (const v1::MeasuredArtifact& artifact : job.measured())
      recipes.push_back(artifact.recipe());
    return recipes;
  }

  std::unique_ptr<pipeline::ModelSource> source_;
  DeviceClassSpec spec_;
  JobRecord job_;
};

TEST_F(StepUpTest, TheNextHasTheFewestMoreBitsAndRatherTheSameName) {
  EXPECT_EQ(Next("gguf", "q4_0"), "q5_0");
  EXPECT_EQ(Next("gguf", "q4_1"), "q5_1");
  EXPECT_EQ(Next("gguf", "q4_k_m"), "q5_k_m");
  EXPECT_EQ(Next("gguf", "q3_k_l"), Next("gguf", "q3_none")) << "there is no q4_k_l";
  EXPECT_EQ(Next("gguf", "q5_k_s"), "q6_k");
  EXPECT_EQ(Next("gguf", "q8_0"), "bf16") << "as the model's own weights";
  EXPECT_EQ(Next("gguf", "bf16"), "none");
  EXPECT_EQ(Next("gguf", "as-is"), "none");
  EXPECT_EQ(Next("onnx", "int4"), "int8");
  EXPECT_EQ(Next("onnx", "int4-g32"), "int8") << "no such recipe";
  EXPECT_EQ(Next("mlx", "int4-g64-asym-pure"), "int8-g64-asym");
  EXPECT_EQ(Next("openvino", "int8"), "fp16");
  EXPECT_EQ(Next("strange", "int4"), "none");
}

TEST_F(StepUpTest, TheNextIsLarger) {
  // As where rows do not divide into blocks, and types fall back to larger ones.
  EXPECT_EQ(Next("gguf", "q4_0", uint64_t{1} << 40), "none");
  const auto plan = pipeline::MakePlan(*source_, {*pipeline::ParseTargetSpec("gguf:q5_0")});
  ASSERT_OK(plan);
  uint64_t bytes = 0;
  for (const pipeline::OutputFile& file : plan->targets[0].layout.files) bytes += file.size;
  EXPECT_NE(Next("gguf", "q4_0", bytes), "q5_0");
}

TEST_F(StepUpTest, TheNextIsWithinTheBytesThatTheClassAllows) {
  EXPECT_EQ(NextLarger(*source_, "gguf", "q4_0", 0, 1), std::nullopt);
  spec_.artifact_max_bytes = 1;
  EXPECT_THAT(Steps({Made("q4_0", 0.2)}), ElementsAre("gguf:q4_0 "));
  EXPECT_THAT(StepUpsOf(job_, {spec_}, {Made("q4_0", 0.2)}, *source_).front().reason(),
              ::testing::HasSubstr("bytes"));
}

TEST_F(StepUpTest, WhatHasTooManyBytesIsMadeSmaller) {
  const auto plan = pipeline::MakePlan(*source_, {*pipeline::ParseTargetSpec("gguf:q4_0")});
  ASSERT_OK(plan);
  const uint64_t bytes = pipeline::TargetBytes(plan->targets[0]);
  DeviceClassSpec large = spec_;
  large.name = "edge";
  large.recipe = "f16";
  spec_.recipe = "f16";
  spec_.artifact_max_bytes = bytes;
  job_.targets = {"gguf:f16"};
  JobRecord both = job_;
  ASSERT_OK(KeepWithinBytes({spec_}, *source_, job_));
  ASSERT_THAT(job_.targets, SizeIs(1));
  EXPECT_NE(job_.targets[0], "gguf:f16") << "nobody takes it";
  EXPECT_EQ(TargetOf(job_, spec_), job_.targets[0]);
  const v1::StepUp& step = job_.job.step_ups(0);
  EXPECT_TRUE(step.smaller());
  EXPECT_EQ(step.from(), "gguf:f16");
  EXPECT_THAT(step.reason(), ::testing::HasSubstr(fmt::format("{} bytes", bytes)));

  ASSERT_OK(KeepWithinBytes({spec_, large}, *source_, both));
  EXPECT_THAT(both.targets, ElementsAre("gguf:f16", job_.targets[0]));
  EXPECT_EQ(TargetOf(both, large), "gguf:f16");

  spec_.artifact_max_bytes = 1000;
  JobRecord none;
  none.targets = {"gguf:f16"};
  EXPECT_ERROR(KeepWithinBytes({spec_}, *source_, none), kFailedPrecondition, "class iot",
               "artifact_max_bytes");
  spec_.artifact_max_bytes = 0;
  ASSERT_OK(KeepWithinBytes({spec_}, *source_, none));
  EXPECT_THAT(none.targets, ElementsAre("gguf:f16"));
}

TEST_F(StepUpTest, AStepFollowsFromALimitThatIsMissed) {
  EXPECT_THAT(Steps({Made("q4_0", 0.05)}), IsEmpty());
  EXPECT_THAT(Steps({Made("q4_0", 0.2)}), ElementsAre("gguf:q4_0 gguf:q5_0"));
  EXPECT_THAT(Steps({Made("q4_0", -1)}), IsEmpty()) << "not measured: a larger one is not, either";
  EXPECT_THAT(Steps({Made("q4_0", 0.2), Made("q5_0", 0.2)}),
              ElementsAre("gguf:q4_0 gguf:q5_0", "gguf:q5_0 gguf:q6_k"))
      << "over what another class has";
  spec_.step_up = false;
  EXPECT_THAT(Steps({Made("q4_0", 0.2)}), IsEmpty());
}

TEST_F(StepUpTest, TheLastStepIsToNothing) {
  spec_.recipe = "bf16";
  job_.targets = {"gguf:bf16"};
  EXPECT_THAT(Steps({Made("bf16", 0.2)}), ElementsAre("gguf:bf16 "));
  *job_.job.add_step_ups() = StepUpsOf(job_, {spec_}, {Made("bf16", 0.2)}, *source_).front();
  EXPECT_THAT(Steps({Made("bf16", 0.2)}), IsEmpty()) << "said once";
}

TEST_F(StepUpTest, WhatIsLeftIsWhatIsNotMade) {
  job_.targets = {"gguf:q4_0", "gguf:f16"};
  EXPECT_THAT(TargetsLeft(job_), ElementsAre("gguf:q4_0", "gguf:f16"));
  job_.job.add_measured();
  job_.job.add_measured();
  EXPECT_THAT(TargetsLeft(job_), IsEmpty());
  for (const char* to : {"gguf:q5_0", "gguf:q5_0", "gguf:f16", ""})
    job_.job.add_step_ups()->set_to(to);
  EXPECT_THAT(TargetsLeft(job_), ElementsAre("gguf:q5_0"));
}

TEST_F(StepUpTest, AStepKeepsHowCodesAreChosen) {
  spec_.calibration = "self";
  spec_.rounding = pipeline::Rounding::kFeedback;
  job_.targets = {"gguf:q4_0", "gguf:q4_0+feedback"};
  EXPECT_EQ(TargetOf(job_, spec_), "gguf:q4_0+feedback");
  EXPECT_THAT(Steps({Made("q4_0", 0.2), Made("q4_0+feedback", 0.2)}),
              ElementsAre("gguf:q4_0+feedback gguf:q5_0+feedback"));
  EXPECT_THAT(Steps({Made("q4_0", 0.2), Made("q4_0+feedback", 0.05)}), IsEmpty());
  // A job that is submitted with another rounding than the class has.
  job_.targets = {"gguf:q4_0+search"};
  EXPECT_THAT(Steps({Made("q4_0+search", 0.2), Made("q5_0+search", 0.2), Made("q6_k+search", 0.2),
                     Made("q8_0+search", 0.2)}),
              ElementsAre("gguf:q4_0+search gguf:q5_0+search", "gguf:q5_0+search gguf:q6_k+search",
                          "gguf:q6_k+search gguf:q8_0+search", "gguf:q8_0+search gguf:bf16"))
      << "floats are not calibrated";
}

TEST_F(StepUpTest, APassMakesWhatIsFoldedOrWhatIsNot) {
  job_.targets = {"gguf:f16", "gguf:q4_0+search", "gguf:q4_0+search+fold"};
  const auto next = [&] {
    std::vector<std::string> texts;
    const auto specs = TargetsNext(job_);
    EXPECT_OK(specs);
    for (const pipeline::TargetSpec& spec : *specs) texts.push_back(JobTarget(spec));
    return texts;
  };
  EXPECT_THAT(next(), ElementsAre("gguf:f16", "gguf:q4_0+search"));
  job_.job.add_measured();
  job_.job.add_measured();
  EXPECT_THAT(next(), ElementsAre("gguf:q4_0+search+fold"));
  v1::StepUp& step = *job_.job.add_step_ups();
  step.set_from("gguf:q4_0+search+fold");
  step.set_to("gguf:q5_0+search+fold");
  ASSERT_OK(ChangeTargetsLeft(job_, [](pipeline::TargetSpec& spec) { spec.folded = false; }));
  EXPECT_THAT(job_.targets, ElementsAre("gguf:f16", "gguf:q4_0+search")) << "it is there already";
  EXPECT_EQ(step.from(), "gguf:q4_0+search");
  EXPECT_THAT(next(), ElementsAre("gguf:q5_0+search"));
}

// A step up whose calibration cannot be had any more said "+feedback", and found itself no more.
TEST_F(StepUpTest, AStepUpWhoseCalibrationFailsInALaterPassIsPlainAndSaysSo) {
  ImportModel();
  ApplyClass("calibration = 'self'\nrounding = 'feedback'\n[quality]\nmax_kl = 0\n");
  MakeMeasuringRunner();
  const v1::Job undisturbed = RunToEnd(Submit({"iot"}));
  ASSERT_EQ(undisturbed.state(), v1::Job::SUCCEEDED) << undisturbed.error_message();
  EXPECT_EQ(undisturbed.step_ups(0).to(), "gguf:q5_0+feedback");
  const size_t slabs = undisturbed.progress().slabs_total();
  for (const std::string& name : undisturbed.artifacts())
    ASSERT_OK(Once(*store_)->artifacts().Delete(name));
  const std::string name = StopAtSlab(slabs + 1);
  ASSERT_EQ(runner_->Get(name)->artifacts_size(), 1);
  runner_.reset();
  fs::remove_all(dir_ / "calibrations");
  std::ofstream(dir_ / "calibrations") << "not a folder";

  MakeMeasuringRunner();
  const v1::Job job = RunToEnd(name);
  ASSERT_EQ(job.state(), v1::Job::SUCCEEDED) << job.error_message();
  EXPECT_THAT(job.notes(), ::testing::Contains(::testing::HasSubstr("not calibrated")));
  EXPECT_EQ(job.step_ups(0).from(), "gguf:q4_0+feedback");
  EXPECT_EQ(job.step_ups(0).to(), "gguf:q5_0");
  EXPECT_EQ(job.step_ups(1).from(), "gguf:q5_0");
  EXPECT_EQ(RecipesOf(job), RecipesOf(undisturbed)) << "it goes on until none is larger";
}

TEST_F(StepUpTest, AJobStepsUpUntilALimitIsMet) {
  ImportModel();
  ApplyClass("");
  MakeMeasuringRunner();
  const v1::Job plain = RunToEnd(Submit({"iot"}));
  ASSERT_EQ(plain.state(), v1::Job::SUCCEEDED) << plain.error_message();
  EXPECT_THAT(plain.step_ups(), IsEmpty());
  ASSERT_THAT(plain.measured(), SizeIs(1));
  EXPECT_EQ(plain.measured(0).name(), plain.artifacts(0));
  EXPECT_GT(plain.measured(0).size_bytes(), 0u);
  const double kl = plain.measured(0).evaluation().mean_kl();
  ASSERT_GT(kl, 0);
  EXPECT_EQ(plain.measured(0).evaluation().golden_size(), 0);

  ApplyClass(fmt::format("[quality]\nmax_kl = {:.17f}\n", kl / 50));
  MakeMeasuringRunner();
  const v1::Job job = RunToEnd(Submit({"iot", "edge"}));
  ASSERT_EQ(job.state(), v1::Job::SUCCEEDED) << job.error_message();
  const std::vector<std::string> recipes = RecipesOf(job);
  ASSERT_GE(recipes.size(), 3u) << "edge's f16 is made in the first pass";
  EXPECT_EQ(recipes[0], "q4_0");
  EXPECT_EQ(recipes[1], "f16");
  EXPECT_EQ(recipes[2], "q5_0");
  EXPECT_THAT(job.step_ups(), SizeIs(recipes.size() - 2));
  EXPECT_EQ(job.step_ups(0).from(), "gguf:q4_0");
  EXPECT_EQ(job.step_ups(0).to(), "gguf:q5_0");
  for (int i = 0; i < job.measured_size(); ++i) {
    EXPECT_EQ(job.measured(i).name(), job.artifacts(i));
    EXPECT_EQ(job.measured(i).evaluation().mean_kl() <= kl / 50,
              i == 1 || i + 1 == job.measured_size())
        << i;
  }
  EXPECT_EQ(job.progress().stage(), "done");
  EXPECT_THAT(*Once(*store_)->jobs().ListSlabs(job.name()), IsEmpty());
}

TEST_F(StepUpTest, AJobThatIsStoppedBetweenPassesGoesOnWithTheNext) {
  ImportModel();
  ApplyClass("[quality]\nmax_kl = 0\n");
  MakeMeasuringRunner();
  const v1::Job undisturbed = RunToEnd(Submit({"iot"}));
  ASSERT_EQ(undisturbed.state(), v1::Job::SUCCEEDED) << undisturbed.error_message();
  EXPECT_EQ(undisturbed.measured().rbegin()->recipe(), "bf16");
  EXPECT_EQ(undisturbed.step_ups().rbegin()->to(), "") << "with a cache in F16 it is not the same";

  // The number of its slabs tells when the second pass has begun.
  const size_t slabs = undisturbed.progress().slabs_total();
  for (const std::string& name : undisturbed.artifacts())
    ASSERT_OK(Once(*store_)->artifacts().Delete(name));
  const std::string name = StopAtSlab(slabs + 2);
  const auto between = runner_->Get(name);
  ASSERT_OK(between);
  EXPECT_EQ(between->state(), v1::Job::RUNNING);
  EXPECT_THAT(RecipesOf(*between), ElementsAre("q4_0")) << "sealed";
  EXPECT_THAT(between->step_ups(), SizeIs(1));

  MakeMeasuringRunner();
  const v1::Job last = RunToEnd(name);
  EXPECT_EQ(last.state(), v1::Job::SUCCEEDED) << last.error_message();
  EXPECT_EQ(RecipesOf(last), RecipesOf(undisturbed));
  EXPECT_EQ(last.step_ups_size(), undisturbed.step_ups_size());
  EXPECT_TRUE(std::ranges::equal(last.artifacts(), undisturbed.artifacts())) << "same digests";
}

TEST_F(StepUpTest, FilesThatChangeBetweenPassesEndTheJob) {
  ImportModel();
  ApplyClass("[quality]\nmax_kl = 0\n");
  size_t slabs = 0;
  {
    MakeMeasuringRunner();
    const v1::Job job = RunToEnd(Submit({"iot"}));
    slabs = job.progress().slabs_total();
    for (const std::string& name : job.artifacts())
      ASSERT_OK(Once(*store_)->artifacts().Delete(name));
  }
  const std::string name = StopAtSlab(slabs + 1);
  WriteModel(2);
  MakeMeasuringRunner();
  const v1::Job job = RunToEnd(name);
  EXPECT_EQ(job.state(), v1::Job::FAILED);
  EXPECT_EQ(job.error_code(), static_cast<int>(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(RecipesOf(job), ElementsAre("q4_0")) << "what was sealed is kept";
}

}  // namespace
}  // namespace quantfleet::daemon
