#include "daemon/jobs/garbage.h"

#include <soci/soci.h>

#include <future>

#include "pipeline/artifact/manifest.h"
#include "pipeline/stage/slab_record.h"
#include "tests/daemon/jobs/jobs_fixture.h"
#include "tests/daemon/store/once.h"
#include "tests/support/status_matchers.h"

namespace quantfleet::daemon {
namespace {

class GarbageTest : public JobsFixture {
 protected:
  Digest StoreBlob(std::string_view text) {
    const Digest digest = HashText(text);
    EXPECT_TRUE(blobs_.Put(digest, AsBytes(text), 1).ok());
    return digest;
  }
  std::string Artifact(const std::vector<std::string>& chunks) {
    v1::Manifest manifest;
    v1::ArtifactFile& file = *manifest.add_files();
    for (const std::string& chunk : chunks) file.add_chunks()->set_digest(StoreBlob(chunk).raw());
    ArtifactRecord record;
    record.manifest = pipeline::SerializeManifest(manifest);
    const Digest digest = HashText(record.manifest);
    record.artifact.set_name("artifacts/" + digest.hex());
    record.artifact.set_manifest_digest(digest.raw());
    record.artifact.set_model("m");
    EXPECT_TRUE(Once(*store_)->artifacts().Put(record).ok());
    return record.artifact.name();
  }
  void JobWithSlab(const std::string& name, v1::Job::State state, int64_t finished_ms,
                   const Digest& chunk) {
    JobRecord job;
    job.job.set_name(name);
    job.job.set_state(state);
    job.job.set_finished_ms(finished_ms);
    EXPECT_TRUE(Once(*store_)->jobs().Create(job, {}).ok());
    pipeline::SlabRecord slab;
    slab.chunks.push_back({0, 0, chunk});
    EXPECT_TRUE(
        Once(*store_)->jobs().PutSlabs(name, {{0, pipeline::SerializeSlabRecord(slab)}}).ok());
  }
  bool Stored(std::string_view text) { return blobs_.Stat(HashText(text)).ok(); }
};

TEST_F(GarbageTest, WhatAnArtifactOrAJobNamesStays) {
  Artifact({"a", "shared"});
  const std::string doomed = Artifact({"b", "shared"});
  JobWithSlab("jobs/running", v1::Job::RUNNING, 0, StoreBlob("of a running job"));
  JobWithSlab("jobs/failed", v1::Job::FAILED, 1000, StoreBlob("of a failed job"));
  StoreBlob("of nobody");
  ASSERT_OK(Once(*store_)->artifacts().Delete(doomed));

  const auto dry = CollectGarbage(*store_, blobs_, {.dry_run = true, .forget_before_ms = 1000});
  ASSERT_OK(dry);
  EXPECT_EQ(dry->blobs_removed, 2u);
  EXPECT_TRUE(Stored("b") && Stored("of nobody"));

  const auto done = CollectGarbage(*store_, blobs_, {.forget_before_ms = 1000});
  ASSERT_OK(done);
  EXPECT_EQ(done->blobs_removed, 2u);
  EXPECT_EQ(done->bytes_removed, std::string("b"
                                             "of nobody")
                                     .size());
  EXPECT_EQ(done->blobs_kept, 4u);
  EXPECT_EQ(done->jobs_forgotten, 0u);
  EXPECT_TRUE(Stored("a") && Stored("shared") && Stored("of a running job") &&
              Stored("of a failed job"));
  EXPECT_FALSE(Stored("b") || Stored("of nobody"));
}

TEST_F(GarbageTest, JobsThatFailedLongAgoAreForgotten) {
  JobWithSlab("jobs/failed", v1::Job::FAILED, 1000, StoreBlob("of a failed job"));
  JobWithSlab("jobs/queued", v1::Job::QUEUED, 0, StoreBlob("of a queued job"));
  const auto done = CollectGarbage(*store_, blobs_, {.forget_before_ms = 1001});
  ASSERT_OK(done);
  EXPECT_EQ(done->jobs_forgotten, 1u);
  EXPECT_FALSE(Stored("of a failed job"));
  EXPECT_TRUE(Stored("of a queued job"));
  EXPECT_TRUE(Once(*store_)->jobs().ListSlabs("jobs/failed")->empty());
}

TEST_F(GarbageTest, ADamagedManifestStopsItBeforeAnythingIsRemoved) {
  StoreBlob("of nobody");
  ArtifactRecord record;
  record.manifest = "\x0a\xff";
  record.artifact.set_name("artifacts/" + HashText(record.manifest).hex());
  record.artifact.set_model("m");
  ASSERT_OK(Once(*store_)->artifacts().Put(record));
  EXPECT_ERROR(CollectGarbage(*store_, blobs_, {}), kDataLoss, "artifacts/");
  EXPECT_TRUE(Stored("of nobody"));
}

TEST_F(GarbageTest, ADamagedJobIsCollectedAndNamed) {
  Artifact({"a"});
  JobWithSlab("jobs/bad", v1::Job::FAILED, 1000, StoreBlob("of a damaged job"));
  JobWithSlab("jobs/good", v1::Job::QUEUED, 0, StoreBlob("of a queued job"));
  {
    soci::session sql("sqlite3", "db=" + (dir_ / "state.db").string());
    sql << "UPDATE jobs SET record = 'CgX_' WHERE name = 'jobs/bad'";
    sql << "UPDATE artifacts SET record = 'CgX_'";
  }
  const auto done = CollectGarbage(*store_, blobs_, {});
  ASSERT_OK(done);
  ASSERT_EQ(done->damaged.size(), 1u);
  EXPECT_EQ(done->damaged[0].name, "jobs/bad");
  EXPECT_TRUE(Stored("a") && Stored("of a queued job"));
  EXPECT_FALSE(Stored("of a damaged job"));
  EXPECT_EQ(Once(*store_)->jobs().Get("jobs/bad").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(GarbageTest, StrangeFilesAreLeftAlone) {
  StoreBlob("of nobody");
  const fs::path folder = dir_ / "blobs" / HashText("of nobody").hex().substr(0, 2);
  ASSERT_OK(RealFileSystem().WriteAtomically(folder / "README", AsBytes("mine")));
  const std::string elsewhere = HashText("x").hex() + ".raw";  // a blob's name in another's folder
  ASSERT_NE(elsewhere.substr(0, 2), folder.filename());
  ASSERT_OK(RealFileSystem().WriteAtomically(folder / elsewhere, AsBytes("mine")));
  const auto done = CollectGarbage(*store_, blobs_, {});
  ASSERT_OK(done);
  EXPECT_EQ(done->blobs_removed, 1u);
  EXPECT_TRUE(fs::exists(folder / "README") && fs::exists(folder / elsewhere));
}

TEST_F(GarbageTest, WhatADeviceNeedsIsNotDeleted) {
  const std::string name = Artifact({"a"});
  const Digest digest = *Digest::FromHexText(name.substr(name.find('/') + 1));
  Enrollment enrollment{
      .public_key = HashText("key"), .admission = "list", .device = {}, .now_ms = 1};
  enrollment.device.set_id("d1");
  enrollment.device.set_state(v1::Device::ACTIVE);
  ASSERT_OK(Once(*store_)->devices().Create(enrollment));
  const auto sign = [](uint64_t) -> absl::StatusOr<v1::Signed> { return v1::Signed(); };
  ASSERT_OK(Once(*store_)->assignments().Assign("d1", "m", digest.raw(), "rollouts/1", sign));
  EXPECT_ERROR(Once(*store_)->artifacts().Delete(name), kFailedPrecondition, "device d1");

  // Assigned another one, but still running the first.
  ASSERT_OK(
      Once(*store_)->assignments().Assign("d1", "m", HashText("other").raw(), "rollouts/2", sign));
  ASSERT_OK(Once(*store_)->devices().Update("d1", [&](v1::Device& device) {
    v1::ModelStatus& status = *device.add_models();
    status.set_model("m");
    status.set_active_manifest(digest.raw());
    return absl::OkStatus();
  }));
  EXPECT_ERROR(Once(*store_)->artifacts().Delete(name), kFailedPrecondition, "device d1");

  ASSERT_OK(Once(*store_)->devices().Update("d1", [&](v1::Device& device) {
    device.set_state(v1::Device::REVOKED);
    return absl::OkStatus();
  }));
  EXPECT_OK(Once(*store_)->artifacts().Delete(name));
  EXPECT_ERROR(Once(*store_)->artifacts().Delete(name), kNotFound, "artifact");
}

TEST_F(GarbageTest, ARolloutThatIsNotOverNeedsItsArtifacts) {
  const std::string name = Artifact({"a"});
  v1::Rollout rollout;
  rollout.set_name("rollouts/r");
  rollout.set_model("m");
  rollout.set_state(v1::Rollout::RUNNING);
  v1::RolloutDevice& row = *rollout.add_devices();
  row.set_device_id("d1");
  row.set_artifact(name);
  ASSERT_OK(Once(*store_)->rollouts().Create(rollout, {}));
  EXPECT_ERROR(Once(*store_)->artifacts().Delete(name), kFailedPrecondition, "rollouts/r");
  rollout.set_state(v1::Rollout::COMPLETED);
  rollout.set_finished_ms(5);
  ASSERT_OK(Once(*store_)->rollouts().PutRecord(rollout));
  EXPECT_OK(Once(*store_)->artifacts().Delete(name));
}

TEST_F(GarbageTest, TheRunnerCollectsAtItsStartAndWhenAsked) {
  StoreBlob("of nobody");
  const auto first = std::make_shared<std::promise<absl::StatusOr<Collected>>>();
  JobRunner::Options options;
  options.on_collected = [first](const absl::StatusOr<Collected>& collected) {
    first->set_value(collected);
  };
  runner_ = std::make_unique<JobRunner>(
      JobRunner::Collaborators{*store_, *authority_, blobs_, RealFileSystem(), random_, clock_},
      options);
  EXPECT_ERROR(runner_->Collect(false), kUnavailable, "");
  ASSERT_OK(runner_->Start());
  std::future<absl::StatusOr<Collected>> heard = first->get_future();
  ASSERT_TRUE(testing::Arrives(heard));
  const auto unasked = heard.get();
  ASSERT_OK(unasked);
  EXPECT_EQ(unasked->blobs_removed, 1u);
  StoreBlob("of nobody again");
  EXPECT_EQ(runner_->Collect(true)->blobs_removed, 1u);
  EXPECT_EQ(runner_->Collect(false)->blobs_removed, 1u);
  EXPECT_EQ(runner_->Collect(false)->blobs_removed, 0u);
}

TEST_F(GarbageTest, NothingIsCollectedWhileAJobRuns) {
  ImportModel();
  absl::StatusOr<Collected> asked = Collected{};
  MakeRunner([&](size_t) { asked = runner_->Collect(false); });
  const v1::Job job = RunToEnd(Submit({"iot"}));
  ASSERT_EQ(job.state(), v1::Job::SUCCEEDED) << job.error_message();
  EXPECT_ERROR(asked, kFailedPrecondition, "jobs/");
  const auto after = runner_->Collect(false);
  ASSERT_OK(after);
  EXPECT_EQ(after->blobs_removed, 0u);
  EXPECT_GT(after->blobs_kept, 0u);
}

}  // namespace
}  // namespace quantfleet::daemon
