// Jobs whose codes are chosen by what was measured of the model.
#include <fstream>
#include <future>

#include "daemon/fleet/device_class.h"
#include "daemon/jobs/job_target.h"
#include "engine/calibrate/layer_pass.h"
#include "engine/measure/evaluation_text.h"
#include "pipeline/artifact/manifest.h"
#include "pipeline/format/registry/open_model.h"
#include "tests/daemon/jobs/jobs_fixture.h"
#include "tests/support/status_matchers.h"

namespace quantfleet::daemon {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class CalibrateJobTest : public JobsFixture {
 protected:
  CalibrateJobTest() {
    AddClass("own", "q4_0", "calibration = 'self'\nrounding = 'feedback'\n");
    AddClass("searched", "q4_0", "calibration = 'self'\nrounding = 'search'\n");
    AddClass("on-text", "q4_0", "calibration = 'mail'\nrounding = 'feedback'\n");
  }

  void AddClass(const std::string& name, const std::string& recipe, const std::string& more) {
    v1::DeviceClass device_class;
    device_class.set_name(name);
    device_class.set_format("gguf");
    device_class.set_recipe(recipe);
    device_class.set_toml(
        fmt::format("name = '{}'\nformat = 'gguf'\nrecipe = '{}'\n{}", name, recipe, more));
    ASSERT_OK(ParseDeviceClass(device_class.toml()));
    ASSERT_OK(Once(*store_)->classes().Put(device_class));
  }
  void WriteText(const std::string& name, const std::string& text) {
    fs::create_directories(dir_ / "texts");
    std::ofstream(dir_ / "texts" / name) << text;
  }
  // Enough of them for feedback, in this model's few tokens.
  static std::string LongText() {
    std::string text;
    for (int i = 0; i < 3000; ++i) text += fmt::format("the {} of {} is {}\n", i, i % 7, i * i);
    return text;
  }
  void MakeRunnerWith(JobRunner::Options options) {
    runner_.reset();
    options.threads = 1;
    options.data = dir_.path();
    options.calibration_texts = dir_ / "texts";
    runner_ = std::make_unique<JobRunner>(
        JobRunner::Collaborators{*store_, *authority_, blobs_, RealFileSystem(), random_, clock_},
        options);
  }
  v1::Job Run(const std::vector<std::string>& classes, const JobRounding& rounding = {}) {
    MakeRunnerWith({});
    const auto submitted = runner_->Submit("", "tiny", classes, rounding);
    EXPECT_OK(submitted);
    if (!submitted.ok()) return {};
    const v1::Job job = RunToEnd(submitted->name());
    runner_->Stop();
    return job;
  }
  std::vector<std::string> ChangesOf(const std::string& artifact) {
    const auto record = Once(*store_)->artifacts().Get(artifact);
    EXPECT_OK(record);
    const auto manifest = pipeline::ParseManifest(record->manifest);
    EXPECT_OK(manifest);
    return {manifest->target().changes().begin(), manifest->target().changes().end()};
  }
  static std::vector<std::string> NotesOf(const v1::Job& job) {
    return {job.notes().begin(), job.notes().end()};
  }
  std::vector<std::string> Calibrations() {
    auto names = RealFileSystem().List(dir_ / "calibrations");
    if (!names.ok()) return {};
    std::erase(*names, "texts");
    return *names;
  }
};

TEST_F(CalibrateJobTest, EachClassIsRoundedAsItSays) {
  ImportModel();
  const v1::Job plain = Run({"iot", "edge"});
  ASSERT_EQ(plain.state(), v1::Job::SUCCEEDED) << plain.error_message();
  EXPECT_FALSE(plain.has_calibration());

  const v1::Job job = Run({"own", "iot", "edge", "searched"});
  ASSERT_EQ(job.state(), v1::Job::SUCCEEDED) << job.error_message();
  ASSERT_THAT(job.artifacts(), SizeIs(4));
  EXPECT_THAT(ChangesOf(job.artifacts(0)), ElementsAre("rounding=feedback", HasSubstr("second-")));
  EXPECT_EQ(job.artifacts(1), plain.artifacts(0)) << "a plain class has its plain bytes";
  EXPECT_EQ(job.artifacts(2), plain.artifacts(1));
  EXPECT_THAT(ChangesOf(job.artifacts(3)), ElementsAre("rounding=search"));
  EXPECT_EQ(job.calibration().text(), "self");
  EXPECT_EQ(job.calibration().tokens(), static_cast<uint64_t>(Calibrator::kTokens));
  EXPECT_TRUE(job.calibration().second_moments());
  EXPECT_THAT(NotesOf(job), ElementsAre(HasSubstr("embed_tokens"))) << "it has no input";
  EXPECT_EQ(job.progress().bytes_read(), job.progress().bytes_total());
}

// What is folded is made of another model, in a pass of its own.
TEST_F(CalibrateJobTest, FoldedClassesAreMadeBesideOthers) {
  ImportModel();
  AddClass("folded", "q4_0", "calibration = 'self'\nrounding = 'feedback'\nfold = 'auto'\n");
  const v1::Job unfolded = Run({"own", "edge"});
  ASSERT_EQ(unfolded.state(), v1::Job::SUCCEEDED) << unfolded.error_message();
  const v1::Job job = Run({"folded", "own", "edge"});
  ASSERT_EQ(job.state(), v1::Job::SUCCEEDED) << job.error_message();
  ASSERT_THAT(job.artifacts(), SizeIs(3));
  EXPECT_EQ(job.artifacts(0), unfolded.artifacts(0));
  EXPECT_EQ(job.artifacts(1), unfolded.artifacts(1));
  EXPECT_THAT(ChangesOf(job.artifacts(2)),
              ElementsAre("rounding=feedback", HasSubstr("second-"), HasSubstr("fold=")));
  EXPECT_EQ(job.progress().stage(), "done");

  const v1::Job searched = Run({"own"}, {.how = "search", .fold = "auto"});
  ASSERT_EQ(searched.state(), v1::Job::SUCCEEDED) << searched.error_message();
  EXPECT_THAT(ChangesOf(searched.artifacts(0)), ElementsAre("rounding=search", HasSubstr("fold=")));
  const v1::Job none = Run({"folded"}, {.fold = "none"});
  ASSERT_EQ(none.state(), v1::Job::SUCCEEDED) << none.error_message();
  EXPECT_THAT(none.artifacts(), ElementsAre(unfolded.artifacts(0)));
}

TEST_F(CalibrateJobTest, TheNextJobFindsTheCalibration) {
  ImportModel();
  const v1::Job first = Run({"own"});
  ASSERT_EQ(first.state(), v1::Job::SUCCEEDED) << first.error_message();
  ASSERT_THAT(Calibrations(), SizeIs(1));
  const fs::path made = dir_ / "calibrations" / first.calibration().folder() / "calibration.json";
  const auto when = RealFileSystem().ModifiedAt(made);
  ASSERT_OK(when);
  const v1::Job second = Run({"own", "iot"});
  ASSERT_EQ(second.state(), v1::Job::SUCCEEDED) << second.error_message();
  EXPECT_EQ(second.artifacts(0), first.artifacts(0));
  EXPECT_EQ(*RealFileSystem().ModifiedAt(made), *when);
  // One that was damaged meanwhile is made again.
  fs::remove(made.parent_path() / "importance.gguf");
  const v1::Job third = Run({"own"});
  ASSERT_EQ(third.state(), v1::Job::SUCCEEDED) << third.error_message();
  EXPECT_EQ(third.artifacts(0), first.artifacts(0));
}

TEST_F(CalibrateJobTest, AJobThatWasStoppedWhileCalibratingGoesOn) {
  ImportModel();
  const v1::Job undisturbed = Run({"own"});
  fs::remove_all(dir_ / "calibrations");
  MakeRunnerWith({});
  const auto job = runner_->Submit("", "tiny", {"own"});
  ASSERT_OK(job);
  {
    std::promise<void> reached;
    bool told = false;
    const Subscription watching = runner_->Watch(job->name(), [&](const v1::Job& seen) {
      if (seen.progress().stage() != "calibrating" || told) return;
      told = true;
      runner_->RequestStop();
      reached.set_value();
    });
    ASSERT_OK(runner_->Start());
    EXPECT_TRUE(testing::Arrives(reached.get_future()));
    runner_->Stop();
  }
  ASSERT_EQ(Once(*store_)->jobs().Get(job->name())->job.state(), v1::Job::RUNNING);
  MakeRunnerWith({});
  const v1::Job done = RunToEnd(job->name());
  ASSERT_EQ(done.state(), v1::Job::SUCCEEDED) << done.error_message();
  EXPECT_EQ(done.artifacts(0), undisturbed.artifacts(0));
}

TEST_F(CalibrateJobTest, AJobIsCancelledWhileItCalibrates) {
  ImportModel();
  MakeRunnerWith({});
  const auto job = runner_->Submit("", "tiny", {"own"});
  ASSERT_OK(job);
  const Subscription watching = runner_->Watch(job->name(), [&](const v1::Job& seen) {
    if (seen.progress().stage() != "calibrating" || seen.done()) return;
    EXPECT_OK(runner_->Cancel(job->name()));
  });
  EXPECT_EQ(RunToEnd(job->name()).state(), v1::Job::CANCELLED);
}

TEST_F(CalibrateJobTest, AModelThatWritesNoTextIsMadePlainAndTheJobSaysSo) {
  for (const char* name : {"tokenizer.model", "tokenizer_config.json"}) fs::remove(model_ / name);
  ImportModel();
  const v1::Job plain = Run({"iot"});
  const v1::Job job = Run({"own", "iot", "searched"});
  ASSERT_EQ(job.state(), v1::Job::SUCCEEDED) << job.error_message();
  EXPECT_THAT(job.artifacts(), ElementsAre(plain.artifacts(0)));
  EXPECT_THAT(NotesOf(job), ElementsAre(HasSubstr("not calibrated")));
  EXPECT_FALSE(job.has_calibration());

  WriteText("mail", LongText());
  const v1::Job failed = Run({"on-text"});
  EXPECT_EQ(failed.state(), v1::Job::FAILED) << "this text was asked for";
  EXPECT_THAT(failed.error_message(), HasSubstr("--calibration none"));
}

TEST_F(CalibrateJobTest, ATextOfTheOperators) {
  ImportModel();
  WriteText("mail", LongText());
  const v1::Job job = Run({"on-text"});
  ASSERT_EQ(job.state(), v1::Job::SUCCEEDED) << job.error_message();
  EXPECT_THAT(ChangesOf(job.artifacts(0)), Contains("rounding=feedback"));
  // The job keeps what it was given: the same text under the same name is the same calibration.
  fs::remove(dir_ / "texts/mail");
  const v1::Job sent = Run({"own"}, {.calibration = "mail", .text = LongText()});
  ASSERT_EQ(sent.state(), v1::Job::SUCCEEDED) << sent.error_message();
  EXPECT_EQ(sent.artifacts(0), job.artifacts(0));
  EXPECT_THAT(Calibrations(), SizeIs(1));

  const v1::Job none = Run({"own"}, {.calibration = "none"});
  ASSERT_EQ(none.state(), v1::Job::SUCCEEDED) << none.error_message();
  EXPECT_THAT(ChangesOf(none.artifacts(0)), IsEmpty());
}

TEST_F(CalibrateJobTest, ATextThatIsTooShortForFeedbackIsUsedForSearch) {
  ImportModel();
  const v1::Job job =
      Run({"own"}, {.calibration = "short.txt", .text = LongText().substr(0, 2000)});
  ASSERT_EQ(job.state(), v1::Job::SUCCEEDED) << job.error_message();
  EXPECT_THAT(ChangesOf(job.artifacts(0)), ElementsAre("rounding=search"));
  EXPECT_THAT(NotesOf(job), Contains(HasSubstr("feedback needs")));
  const v1::Job failed = Run({"own"}, {.calibration = "shorter.txt", .text = "A few words."});
  EXPECT_EQ(failed.state(), v1::Job::FAILED);
  EXPECT_THAT(failed.error_message(), HasSubstr("shorter.txt"));
}

TEST_F(CalibrateJobTest, LittleMemoryHoldsFewerTokens) {
  ImportModel();
  const auto source = pipeline::OpenModel(RealFileSystem(), model_);
  ASSERT_OK(source);
  const engine::PassMemory all =
      engine::PassMemoryOf((*source)->description(), Calibrator::kTokens, 256, true);
  Calibrator calibrator(RealFileSystem(), clock_, {dir_ / "c", 1, all.total() - all.states / 8});
  v1::JobCalibration wish;
  wish.set_text("self");
  const pipeline::ModelFiles files;
  const auto fewer = calibrator.Plan({**source, files, "identity"}, wish, true);
  ASSERT_OK(fewer);
  EXPECT_TRUE(fewer->calibration.second_moments());
  EXPECT_LT(fewer->calibration.tokens(), static_cast<uint64_t>(Calibrator::kTokens));
  EXPECT_THAT(fewer->notes, ElementsAre(HasSubstr("holds no more")));

  Calibrator tight(RealFileSystem(), clock_, {dir_ / "c", 1, all.total() - all.states * 3 / 4});
  const auto searched = tight.Plan({**source, files, "identity"}, wish, true);
  ASSERT_OK(searched);
  EXPECT_FALSE(searched->calibration.second_moments());
  EXPECT_THAT(searched->notes, Contains(HasSubstr("feedback needs")));

  Calibrator none(RealFileSystem(), clock_, {dir_ / "c", 1, 1000});
  EXPECT_ERROR(none.Plan({**source, files, "identity"}, wish, true), kResourceExhausted, "memory");
}

TEST_F(CalibrateJobTest, WhatCannotBeCalibratedSoIsRefusedAtOnce) {
  ImportModel();
  WriteText("talks", LongText());
  WriteText("shipped", LongText() + std::string(engine::ShippedEvaluationText()));
  WriteText("latin1", "caf\xe9");
  MakeRunnerWith({});
  const auto submit = [&](const std::vector<std::string>& classes, const JobRounding& rounding) {
    return runner_->Submit("", "tiny", classes, rounding).status();
  };
  EXPECT_ERROR(submit({"on-text"}, {}), kInvalidArgument, "\"mail\"", "\"talks\"");
  EXPECT_ERROR(submit({"own"}, {.calibration = "../x"}), kInvalidArgument, "../x");
  EXPECT_ERROR(submit({"own"}, {.calibration = "latin1"}), kInvalidArgument, "UTF-8");
  EXPECT_ERROR(submit({"own"}, {.calibration = "shipped"}), kInvalidArgument, "measured on");
  EXPECT_ERROR(submit({"own"}, {.calibration = "x", .text = std::string(3 << 20, 'x')}),
               kInvalidArgument, "shorten");
  EXPECT_ERROR(submit({"own"}, {.how = "down"}), kInvalidArgument, "nearest");
  EXPECT_ERROR(submit({"iot"}, {.how = "search"}), kInvalidArgument, "class iot");
  EXPECT_ERROR(submit({"iot"}, {.fold = "auto"}), kInvalidArgument, "class iot", "self");
  EXPECT_ERROR(submit({"own"}, {.fold = "both"}), kInvalidArgument, "auto");
  WriteText("mail", LongText());
  EXPECT_ERROR(submit({"own", "on-text"}, {}), kInvalidArgument, "own", "on-text");
  EXPECT_OK(submit({"own", "on-text"}, {.calibration = "talks"}));
  EXPECT_OK(submit({"iot"}, {.calibration = "self", .how = "search"}));
}

// The calibration is gone, and comes out the same again.
TEST_F(CalibrateJobTest, ARepairMakesTheSameBytes) {
  ImportModel();
  const v1::Job made = Run({"iot", "own"});
  ASSERT_EQ(made.state(), v1::Job::SUCCEEDED) << made.error_message();
  const std::string& artifact = made.artifacts(1);
  const auto damage = [&] {
    const auto record = Once(*store_)->artifacts().Get(artifact);
    const auto manifest = pipeline::ParseManifest(record->manifest);
    const auto blob = Digest::FromRaw(manifest->files(0).chunks(0).digest());
    fs::remove_all(dir_ / "blobs");
    ASSERT_OK(Once(*store_)->artifacts().MarkDamaged(artifact, {*blob}, 1));
  };
  const auto repair = [&] {
    MakeRunnerWith({});
    const auto answers = runner_->Repair({artifact});
    EXPECT_OK(answers.front().second);
    const v1::Job job = RunToEnd(answers.front().second->name());
    runner_->Stop();
    return job;
  };
  damage();
  fs::remove_all(dir_ / "calibrations");
  const v1::Job again = repair();
  ASSERT_EQ(again.state(), v1::Job::SUCCEEDED) << again.error_message();
  EXPECT_THAT(again.artifacts(), ElementsAre(artifact));
  EXPECT_FALSE(Once(*store_)->artifacts().Get(artifact)->artifact.has_damage());

  // One of other tokens, as if another version of the program had written the text.
  const fs::path folder = dir_ / "calibrations" / made.calibration().folder();
  const v1::Job other = Run({"own"}, {.calibration = "t", .text = LongText()});
  damage();
  fs::remove_all(folder);
  fs::copy(dir_ / "calibrations" / other.calibration().folder(), folder,
           fs::copy_options::recursive);
  const v1::Job mended = repair();
  ASSERT_EQ(mended.state(), v1::Job::SUCCEEDED) << mended.error_message();
  EXPECT_THAT(mended.artifacts(), ElementsAre(artifact));
}

// Another version of the program measures otherwise: what is made then is told.
TEST_F(CalibrateJobTest, ARepairThatMakesSomethingElseSaysSo) {
  ImportModel();
  const v1::Job made = Run({"own"});
  ASSERT_OK(Once(*store_)->jobs().Update(made.name(), [](JobRecord& record) {
    record.targets = {"gguf:q4_0"};
    return absl::OkStatus();
  }));
  ASSERT_OK(Once(*store_)->artifacts().MarkDamaged(made.artifacts(0), {HashText("a blob")}, 1));
  MakeRunnerWith({});
  const auto answers = runner_->Repair({made.artifacts(0)});
  ASSERT_OK(answers.front().second);
  const v1::Job job = RunToEnd(answers.front().second->name());
  EXPECT_EQ(job.state(), v1::Job::SUCCEEDED);
  EXPECT_THAT(NotesOf(job), Contains(HasSubstr(made.artifacts(0))));
}

TEST_F(CalibrateJobTest, CalibrationsGoWhenNobodyTakesThemAnyMore) {
  ImportModel();
  const v1::Job job = Run({"own"}, {.calibration = "t", .text = LongText()});
  ASSERT_EQ(job.state(), v1::Job::SUCCEEDED) << job.error_message();
  const fs::path text =
      dir_ / "calibrations/texts" / ToHex(AsBytes(job.calibration().text_digest()));
  const auto collect = [&] {
    JobRunner::Options options;
    options.collect_every = Duration::zero();
    MakeRunnerWith(options);
    EXPECT_OK(runner_->Start());
    const auto collected = runner_->Collect(false);
    EXPECT_OK(collected);
    runner_->Stop();
  };
  collect();
  EXPECT_THAT(Calibrations(), ElementsAre(job.calibration().folder()));
  clock_.Advance(std::chrono::hours(24 * 8));
  collect();
  EXPECT_THAT(Calibrations(), IsEmpty());
  EXPECT_TRUE(fs::exists(text)) << "a repair would need it";
  ASSERT_OK(Once(*store_)->artifacts().Delete(job.artifacts(0)));
  collect();
  EXPECT_FALSE(fs::exists(text));
}

TEST(JobTarget, HasTheRoundingWhereItCounts) {
  for (const std::string_view text :
       {"gguf:q4_0", "gguf:q4_0+nearest", "mlx:int4+feedback", "onnx:int4-g64-asym+search",
        "gguf:q4_0+feedback+fold", "mlx:int4+nearest+fold"}) {
    const auto spec = ParseJobTarget(text);
    ASSERT_OK(spec);
    EXPECT_EQ(JobTarget(*spec), text);
    EXPECT_EQ(spec->calibrated, text.find('+') != std::string_view::npos);
    EXPECT_EQ(spec->folded, text.ends_with("+fold"));
  }
  EXPECT_ERROR(ParseJobTarget("gguf:q4_0+down"), kInvalidArgument, "nearest");
  EXPECT_ERROR(ParseJobTarget("gguf:q99+search"), kInvalidArgument, "q99");
  EXPECT_ERROR(ParseJobTarget("gguf:q4_0+fold"), kInvalidArgument, "nearest");
  EXPECT_ERROR(ParseJobTarget("gguf:q4_0+search+fold+fold"), kInvalidArgument, "search+fold");
}

}  // namespace
}  // namespace quantfleet::daemon
