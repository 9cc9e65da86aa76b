#include "daemon/jobs/job_runner.h"

#include <fstream>
#include <future>

#include "common/trust/statement.h"
#include "pipeline/artifact/manifest.h"
#include "tests/daemon/jobs/jobs_fixture.h"
#include "tests/daemon/store/once.h"

namespace quantfleet::daemon {
namespace {

using ::testing::ElementsAreArray;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class JobRunnerTest : public JobsFixture {
 protected:
  std::vector<std::string> ArtifactsOf(const v1::Job& job) {
    return {job.artifacts().begin(), job.artifacts().end()};
  }
  // What a job that nobody disturbs makes, on a data folder of its own.
  std::vector<std::string> UndisturbedArtifacts() {
    MakeRunner();
    const v1::Job job = RunToEnd(Submit());
    EXPECT_EQ(job.state(), v1::Job::SUCCEEDED) << job.error_message();
    runner_.reset();
    return ArtifactsOf(job);
  }
  // Runs a new job until its fifth slab is recorded, as a daemon that is stopped then; the slabs
  // that were recorded.
  std::set<size_t> RunAPart(std::string* name) {
    std::set<size_t> recorded;
    std::promise<void> reached;
    MakeRunner([&](size_t slab) {
      recorded.insert(slab);
      if (recorded.size() != 5) return;
      runner_->RequestStop();
      reached.set_value();
    });
    *name = Submit();
    EXPECT_TRUE(runner_->Start().ok());
    EXPECT_TRUE(testing::Arrives(reached.get_future()));
    runner_->Stop();
    return recorded;
  }
};

TEST_F(JobRunnerTest, OnePassMakesOneArtifactPerDistinctTarget) {
  ImportModel();
  MakeRunner();
  const v1::Job job = RunToEnd(Submit({"iot", "mobile", "edge"}));
  ASSERT_EQ(job.state(), v1::Job::SUCCEEDED) << job.error_message();
  ASSERT_THAT(ArtifactsOf(job), SizeIs(2));
  EXPECT_EQ(job.progress().stage(), "done");
  EXPECT_EQ(job.progress().slabs_done(), job.progress().slabs_total());
  EXPECT_EQ(job.progress().bytes_read(), job.progress().bytes_total());
  EXPECT_THAT(*Once(*store_)->jobs().ListSlabs(job.name()), IsEmpty());

  const auto record = Once(*store_)->artifacts().Get(job.artifacts(0));
  ASSERT_TRUE(record.ok());
  EXPECT_EQ(record->artifact.recipe(), "q4_0");
  EXPECT_EQ(record->artifact.model(), "tiny");
  EXPECT_EQ(HashText(record->manifest).raw(), record->artifact.manifest_digest());
  const auto manifest = pipeline::ParseManifest(record->manifest);
  ASSERT_TRUE(manifest.ok()) << Describe(manifest.status());
  uint64_t size = 0;
  for (const auto& file : manifest->files()) {
    size += file.size();
    for (const auto& chunk : file.chunks())
      EXPECT_TRUE(blobs_.Read(*Digest::FromRaw(chunk.digest()), chunk.size()).ok());
  }
  EXPECT_EQ(record->artifact.size_bytes(), size);

  ASSERT_THAT(record->statements, SizeIs(1));
  ASSERT_TRUE(
      trust::Verify(record->statements[0], trust::kArtifactStatementType, authority_->trust_root())
          .ok());
  v1::ArtifactStatement statement;
  ASSERT_TRUE(statement.ParseFromString(record->statements[0].payload()));
  EXPECT_EQ(statement.manifest_digest(), record->artifact.manifest_digest());
  EXPECT_EQ(statement.source_digest(), manifest->source().digest());
}

TEST_F(JobRunnerTest, OneQuantizationServesTwoFormats) {
  ImportModel();
  for (const auto& [name, format, recipe] :
       {std::tuple("pc", "gguf", "q8_0"), {"onnx-pc", "onnx", "int8"}}) {
    v1::DeviceClass device_class;
    device_class.set_name(name);
    device_class.set_format(format);
    device_class.set_recipe(recipe);
    ASSERT_TRUE(Once(*store_)->classes().Put(device_class).ok());
  }
  const auto encoded = [this](const std::vector<std::string>& classes) {
    MakeRunner();
    const v1::Job job = RunToEnd(Submit(classes));
    EXPECT_EQ(job.state(), v1::Job::SUCCEEDED) << job.error_message();
    EXPECT_THAT(ArtifactsOf(job), SizeIs(classes.size()));
    return job.progress().values_encoded();
  };
  const uint64_t alone = encoded({"pc"});
  EXPECT_GT(alone, 0u);
  EXPECT_EQ(encoded({"pc", "onnx-pc"}), alone);
  EXPECT_GT(encoded({"pc", "iot"}), alone);
}

TEST_F(JobRunnerTest, TheSameJobAgainIsTheSameArtifactsAndNoNewStatement) {
  ImportModel();
  const auto first = UndisturbedArtifacts();
  EXPECT_THAT(UndisturbedArtifacts(), ElementsAreArray(first));
  EXPECT_THAT(Once(*store_)->artifacts().Get(first[0])->statements, SizeIs(1));
  EXPECT_THAT(*Once(*store_)->artifacts().List("tiny"), SizeIs(2));
}

TEST_F(JobRunnerTest, TheSameRequestIsTheSameJob) {
  ImportModel();
  MakeRunner();
  EXPECT_EQ(runner_->Submit("", "tiny", std::vector<std::string>(300'000, "iot")).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(runner_->Submit(std::string(3 << 20, 'r'), "tiny", {"iot"}).status().code(),
            absl::StatusCode::kInvalidArgument);
  const auto first = runner_->Submit("r1", "tiny", {"iot"});
  const auto second = runner_->Submit("r1", "tiny", {"edge"});
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_EQ(first->name(), second->name());
  EXPECT_THAT(*store_->Read([&](const Transaction& tx) { return runner_->List(tx); }), SizeIs(1));
}

TEST_F(JobRunnerTest, RefusesWhatCannotBecomeAJob) {
  ImportModel();
  MakeRunner();
  EXPECT_EQ(runner_->Submit("", "none", {"iot"}).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(runner_->Submit("", "tiny", {"none"}).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(runner_->Submit("", "tiny", {}).status().code(), absl::StatusCode::kInvalidArgument);
  v1::DeviceClass odd;
  odd.set_name("odd");
  odd.set_format("gguf");
  odd.set_recipe("q99");
  ASSERT_TRUE(Once(*store_)->classes().Put(odd).ok());
  const auto refused = runner_->Submit("", "tiny", {"odd"});
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Message(refused.status()), HasSubstr("odd"));
}

TEST_F(JobRunnerTest, AStoppedJobGoesOnFromItsSlabsToTheSameDigests) {
  ImportModel();
  std::string name;
  const std::set<size_t> before = RunAPart(&name);
  ASSERT_EQ(Once(*store_)->jobs().Get(name)->job.state(), v1::Job::RUNNING);
  EXPECT_THAT(*Once(*store_)->artifacts().List(""), IsEmpty());

  std::set<size_t> after;
  MakeRunner([&](size_t slab) { after.insert(slab); });
  const v1::Job job = RunToEnd(name);
  ASSERT_EQ(job.state(), v1::Job::SUCCEEDED) << job.error_message();
  EXPECT_EQ(job.progress().slabs_resumed(), before.size());
  EXPECT_EQ(before.size() + after.size(), job.progress().slabs_total());
  for (const size_t slab : after) EXPECT_FALSE(before.contains(slab)) << slab;
  EXPECT_THAT(UndisturbedArtifacts(), ElementsAreArray(ArtifactsOf(job)));
}

TEST_F(JobRunnerTest, ARecordedSlabWhoseBlobIsGoneIsMadeAgain) {
  ImportModel();
  std::string name;
  const std::set<size_t> before = RunAPart(&name);
  fs::remove_all(dir_ / "blobs");

  std::set<size_t> after;
  MakeRunner([&](size_t slab) { after.insert(slab); });
  const v1::Job job = RunToEnd(name);
  ASSERT_EQ(job.state(), v1::Job::SUCCEEDED) << job.error_message();
  EXPECT_EQ(job.progress().slabs_resumed(), 0u);
  EXPECT_EQ(after.size(), job.progress().slabs_total());
  EXPECT_THAT(UndisturbedArtifacts(), ElementsAreArray(ArtifactsOf(job)));
}

TEST_F(JobRunnerTest, ASourceThatChangedWhileTheDaemonWasDownFailsTheJob) {
  ImportModel();
  std::string name;
  RunAPart(&name);
  WriteModel(2);

  MakeRunner();
  const v1::Job job = RunToEnd(name);
  EXPECT_EQ(job.state(), v1::Job::FAILED);
  EXPECT_EQ(job.error_code(), static_cast<int>(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(job.error_message(), HasSubstr("changed"));
  EXPECT_THAT(*Once(*store_)->artifacts().List(""), IsEmpty());
}

TEST_F(JobRunnerTest, ANonFiniteWeightFailsTheJobAndNamesTheTensor) {
  ImportModel();
  const fs::path weights = model_ / "model.safetensors";
  std::fstream file(weights, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(-2, std::ios::end);
  file.write("\xc0\x7f", 2);  // BF16 NaN
  file.close();

  MakeRunner();
  const v1::Job job = RunToEnd(Submit());
  EXPECT_EQ(job.state(), v1::Job::FAILED);
  EXPECT_TRUE(job.done());
  EXPECT_EQ(job.error_code(), static_cast<int>(absl::StatusCode::kInvalidArgument))
      << job.error_message();
  EXPECT_THAT(job.error_message(), ::testing::ContainsRegex("(model\\.|lm_head).*weight"));
  EXPECT_THAT(*Once(*store_)->artifacts().List(""), IsEmpty());
}

TEST_F(JobRunnerTest, AFullDiskFailsTheJobAndTheNextOneGoesOn) {
  ImportModel();
  std::set<size_t> before, after;
  MakeRunner([&](size_t slab) {
    before.insert(slab);
    if (before.size() == 4) files_.SetWriteBudget(0);
  });
  const v1::Job failed = RunToEnd(Submit());
  EXPECT_EQ(failed.state(), v1::Job::FAILED);
  EXPECT_EQ(failed.error_code(), static_cast<int>(absl::StatusCode::kResourceExhausted))
      << failed.error_message();
  EXPECT_THAT(failed.error_message(), HasSubstr("space"));
  EXPECT_THAT(*Once(*store_)->artifacts().List(""), IsEmpty());

  files_.SetWriteBudget(int64_t{1} << 40);
  MakeRunner([&](size_t slab) { after.insert(slab); });
  const v1::Job job = RunToEnd(Submit());
  ASSERT_EQ(job.state(), v1::Job::SUCCEEDED) << job.error_message();
  EXPECT_EQ(job.progress().slabs_resumed(), before.size());
  for (const size_t slab : after) EXPECT_FALSE(before.contains(slab)) << slab;
  EXPECT_THAT(*Once(*store_)->jobs().ListSlabs(failed.name()), IsEmpty());
}

TEST_F(JobRunnerTest, ARunningJobIsCancelled) {
  ImportModel();
  std::string name;
  size_t recorded = 0;
  MakeRunner([&](size_t) {
    if (++recorded != 3) return;
    EXPECT_TRUE(runner_->Cancel(name).ok());
  });
  name = Submit();
  const v1::Job job = RunToEnd(name);
  EXPECT_EQ(job.state(), v1::Job::CANCELLED);
  EXPECT_EQ(job.error_code(), 0);
  EXPECT_LT(job.progress().slabs_done(), job.progress().slabs_total());
  EXPECT_THAT(*Once(*store_)->artifacts().List(""), IsEmpty());
  // A finished job stays as it is.
  EXPECT_EQ(runner_->Cancel(name)->state(), v1::Job::CANCELLED);
}

TEST_F(JobRunnerTest, AQueuedJobIsCancelledAtOnceAndTheNextOneRuns) {
  ImportModel();
  MakeRunner();
  const std::string first = Submit(), second = Submit({"iot"});
  EXPECT_EQ(runner_->Cancel(first)->state(), v1::Job::CANCELLED);
  const v1::Job job = RunToEnd(second);
  EXPECT_EQ(job.state(), v1::Job::SUCCEEDED) << job.error_message();
  EXPECT_EQ(runner_->Get(first)->state(), v1::Job::CANCELLED);
  EXPECT_EQ(runner_->Cancel("jobs/none").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(JobRunnerTest, WatchersHearOfProgressAndOfTheEnd) {
  ImportModel();
  std::mutex mutex;
  std::vector<std::string> stages;
  uint64_t most_done = 0;
  MakeRunner([&](size_t) { clock_.Advance(Duration(1000)); });
  const std::string name = Submit();
  const Subscription watching = runner_->Watch(name, [&](const v1::Job& job) {
    std::lock_guard lock(mutex);
    if (stages.empty() || stages.back() != job.progress().stage())
      stages.push_back(job.progress().stage());
    if (!job.done()) most_done = std::max(most_done, job.progress().slabs_done());
  });
  RunToEnd(name);
  runner_->Stop();
  EXPECT_THAT(stages, ::testing::ElementsAre("planning", "quantizing", "sealing", "done"));
  EXPECT_GT(most_done, 1u);
}

}  // namespace
}  // namespace quantfleet::daemon
