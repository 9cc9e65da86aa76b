#include "daemon/jobs/scrubber.h"

#include <soci/soci.h>

#include <fstream>

#include "pipeline/artifact/manifest.h"
#include "tests/daemon/jobs/jobs_fixture.h"
#include "tests/daemon/store/once.h"
#include "tests/support/faulty_blob_store.h"
#include "tests/support/noise.h"
#include "tests/support/status_matchers.h"

namespace quantfleet::daemon {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class ScrubberTest : public JobsFixture {
 protected:
  ScrubberTest() { MakeRunner(); }

  void MakeScrubber(pipeline::BlobStore* blobs = nullptr) {
    Scrubber::Options options;
    options.every = std::chrono::hours(24);
    options.bytes_per_second = rate_;
    options.data = dir_.path();
    options.warn = [this](std::string_view text) { warnings_.emplace_back(text); };
    options.pause = [this](Duration wait, const std::stop_token&) {
      waited_ += wait;
      if (--pauses_left_ == 0) stop_.request_stop();
    };
    scrubber_ = std::make_unique<Scrubber>(
        Scrubber::Collaborators{*store_, blobs ? *blobs : blobs_, files_, *runner_, clock_},
        std::move(options));
  }
  // By command, from beginning to end.
  v1::Scrub Scrub() {
    if (!scrubber_) MakeScrubber();
    scrubber_->Begin();
    EXPECT_OK(scrubber_->Turn({}));
    EXPECT_EQ(scrubber_->Get().state(), v1::Scrub::FINISHED);
    return scrubber_->Get();
  }

  static Bytes Chunk(uint64_t seed) { return testing::Noise(1000, seed); }
  static Digest DigestOf(uint64_t seed) { return HashBytes(Chunk(seed)); }
  std::string Seal(const std::vector<uint64_t>& chunks, const std::string& model = "m") {
    v1::Manifest manifest;
    v1::ArtifactFile& file = *manifest.add_files();
    for (const uint64_t seed : chunks) {
      EXPECT_OK(blobs_.Put(DigestOf(seed), Chunk(seed), 1));
      v1::Chunk& chunk = *file.add_chunks();
      chunk.set_digest(DigestOf(seed).raw());
      chunk.set_size(1000);
    }
    ArtifactRecord record;
    record.manifest = pipeline::SerializeManifest(manifest);
    const Digest digest = HashText(record.manifest);
    record.artifact.set_name("artifacts/" + digest.hex());
    record.artifact.set_model(model);
    EXPECT_OK(Once(*store_)->artifacts().Put(record));
    return record.artifact.name();
  }
  fs::path PathOf(const Digest& digest) {
    return blobs_.NameOf(digest, blobs_.Stat(digest)->encoding);
  }
  void Change(const Digest& digest, const std::function<void(std::string&)>& change) {
    const fs::path path = PathOf(digest);
    std::string bytes = *RealFileSystem().ReadAll(path);
    change(bytes);
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
  }
  void Flip(const Digest& digest) {
    Change(digest, [](std::string& bytes) { bytes[bytes.size() / 2] ^= 1; });
  }
  std::vector<std::string> Damaged() { return *Once(*store_)->artifacts().ListDamaged(); }
  v1::ArtifactDamage DamageOf(const std::string& name) {
    return Once(*store_)->artifacts().Get(name)->artifact.damage();
  }

  // The artifact that a job made of the model, without its tokenizer's slabs and all: the real one.
  std::string MakeArtifact() {
    ImportModel();
    const v1::Job job = RunToEnd(Submit({"iot"}));
    EXPECT_EQ(job.state(), v1::Job::SUCCEEDED) << job.error_message();
    runner_->Stop();
    return job.artifacts_size() == 1 ? job.artifacts(0) : "";
  }
  Digest AChunkOf(const std::string& artifact) {
    v1::Manifest manifest;
    EXPECT_TRUE(manifest.ParseFromString(Once(*store_)->artifacts().Get(artifact)->manifest));
    const auto file = std::ranges::max_element(
        manifest.files(), {}, [](const v1::ArtifactFile& f) { return f.chunks_size(); });
    return *Digest::FromRaw(file->chunks().rbegin()->digest());
  }
  std::vector<v1::Job> Queued() {
    std::vector<v1::Job> jobs = *Once(*store_)->jobs().List();
    std::erase_if(jobs, [](const v1::Job& job) { return job.done(); });
    return jobs;
  }

  v1::Model Push() {
    const auto registry = MakeRegistry();
    std::vector<PushedFile> files;
    for (const auto& entry : fs::directory_iterator(model_)) {
      const std::string bytes = *RealFileSystem().ReadAll(entry.path());
      files.push_back({entry.path().filename().string(), bytes.size(), HashText(bytes)});
    }
    const auto begun = registry->BeginPush("", "tiny", files);
    EXPECT_OK(begun);
    for (const auto& file : begun->files) {
      const std::string bytes = *RealFileSystem().ReadAll(model_ / file.file.path);
      for (uint64_t at = file.received; at < bytes.size(); at += 1 << 20)
        EXPECT_OK(registry->WritePush(
            begun->push_id, file.file.path, at,
            AsBytes(bytes).subspan(at, std::min<uint64_t>(1 << 20, bytes.size() - at))));
    }
    const auto model = registry->CommitPush(begun->push_id);
    EXPECT_OK(model);
    return *model;
  }

  uint64_t rate_ = 0;
  int pauses_left_ = -1;
  Duration waited_{};
  std::stop_source stop_;
  std::vector<std::string> warnings_;
  std::unique_ptr<Scrubber> scrubber_;
};

TEST_F(ScrubberTest, WhatIsWholeIsCheckedOnceAndNothingIsSaid) {
  Seal({1, 2, 3});
  Seal({3, 4});
  const v1::Scrub scrub = Scrub();
  EXPECT_EQ(scrub.blobs_checked(), 4u);
  EXPECT_EQ(scrub.blobs_total(), 4u);
  EXPECT_EQ(scrub.bytes_checked(), 4000u);
  EXPECT_EQ(scrub.blobs_damaged() + scrub.blobs_missing() + scrub.blobs_unread(), 0u);
  EXPECT_THAT(warnings_, IsEmpty());
  EXPECT_THAT(Damaged(), IsEmpty());
  EXPECT_EQ(scrubber_->counts().checked, 4u);
}

TEST_F(ScrubberTest, AFlippedBitAHoleACutAndAMissingFileAreDamage) {
  const std::string all = Seal({1, 2, 3, 4, 5, 6}), whole = Seal({6}), shares = Seal({1, 6});
  Flip(DigestOf(1));
  Change(DigestOf(2), [](std::string& bytes) { bytes.replace(100, 500, 500, '\0'); });
  Change(DigestOf(3), [](std::string& bytes) { bytes.pop_back(); });
  Change(DigestOf(4), [](std::string& bytes) { bytes.clear(); });
  fs::remove(PathOf(DigestOf(5)));
  const v1::Scrub scrub = Scrub();
  EXPECT_EQ(scrub.blobs_damaged(), 4u);
  EXPECT_EQ(scrub.blobs_missing(), 1u);
  EXPECT_EQ(scrubber_->counts().damaged, 4u);
  EXPECT_EQ(scrubber_->counts().missing, 1u);
  EXPECT_EQ(DamageOf(all).blobs(), 5u);
  EXPECT_EQ(DamageOf(shares).blobs(), 1u);
  EXPECT_FALSE(Once(*store_)->artifacts().Get(whole)->artifact.has_damage());
  EXPECT_THAT(scrub.affected(), ::testing::UnorderedElementsAre(all, shares));
  EXPECT_EQ(Once(*store_)->counts().Count(0)->artifacts_damaged, 2u);
  for (const uint64_t seed : {1, 2, 3, 4})
    EXPECT_TRUE(absl::IsNotFound(blobs_.Stat(DigestOf(seed)).status())) << "nobody is served it";

  // Said once: the next scrub finds nothing new.
  warnings_.clear();
  const v1::Scrub again = Scrub();
  EXPECT_EQ(again.blobs_damaged(), 0u);
  EXPECT_EQ(again.blobs_missing(), 5u);
  EXPECT_EQ(scrubber_->counts().missing, 1u) << "known already";

  // Somebody brings the files back.
  for (const uint64_t seed : {1, 2, 3, 4, 5}) ASSERT_OK(blobs_.Put(DigestOf(seed), Chunk(seed), 1));
  Scrub();
  EXPECT_THAT(Damaged(), IsEmpty());
}

TEST_F(ScrubberTest, ADiskThatCannotBeReadIsNotDamage) {
  const std::string artifact = Seal({1, 2});
  testing::FaultyBlobStore faulty(blobs_);
  MakeScrubber(&faulty);
  faulty.Fail(Unavailable("reading (injected)"));
  const v1::Scrub scrub = Scrub();
  EXPECT_EQ(scrub.blobs_unread(), 2u);
  EXPECT_EQ(scrub.unread_error(), "reading (injected)");
  EXPECT_THAT(warnings_, SizeIs(1));
  faulty.Fail(absl::OkStatus());
  EXPECT_THAT(Damaged(), IsEmpty());
  EXPECT_EQ(Scrub().blobs_checked(), 2u) << "all of it is there";
}

TEST_F(ScrubberTest, ItReadsAtItsRate) {
  Seal({1, 2, 3, 4});
  rate_ = 2000;
  Scrub();
  EXPECT_EQ(waited_.count(), 2000);
}

TEST_F(ScrubberTest, ItStopsAtOnceAndGoesOnWhereItWas) {
  const std::string artifact = Seal({1, 2, 3, 4, 5, 6});
  std::vector<Digest> order;
  for (const uint64_t seed : {1, 2, 3, 4, 5, 6}) order.push_back(DigestOf(seed));
  std::ranges::sort(order);
  Flip(order[1]);
  rate_ = 2000;
  MakeScrubber();
  pauses_left_ = 3;
  scrubber_->Begin();
  EXPECT_EQ(scrubber_->Turn(stop_.get_token()).code(), absl::StatusCode::kCancelled);
  EXPECT_THAT(Damaged(), ElementsAre(artifact)) << "what was found is not forgotten";

  // Another process; what was checked is not read again, which damage in it would show.
  Flip(order[0]);
  Flip(order[5]);
  stop_ = {};
  MakeScrubber();
  ASSERT_OK(scrubber_->Start());
  EXPECT_TRUE(testing::Eventually([&] { return scrubber_->Get().state() == v1::Scrub::FINISHED; }));
  scrubber_->Stop();
  EXPECT_EQ(scrubber_->Get().blobs_checked(), 6u);
  EXPECT_EQ(scrubber_->Get().blobs_damaged(), 2u);
  EXPECT_EQ(DamageOf(artifact).blobs(), 2u);
  EXPECT_EQ(Scrub().blobs_damaged(), 1u) << "the next one begins with the first";
}

TEST_F(ScrubberTest, ItComesFromTimeToTime) {
  Seal({1});
  MakeScrubber();
  const auto started = [&] {
    EXPECT_OK(scrubber_->Turn({}));
    return scrubber_->Get().started_ms();
  };
  const int64_t first = started();
  EXPECT_GT(first, 0) << "there was none yet";
  clock_.Advance(std::chrono::hours(23));
  EXPECT_EQ(started(), first);
  MakeScrubber();  // a restart does not change that
  ASSERT_OK(scrubber_->Start());
  scrubber_->Stop();
  EXPECT_EQ(started(), first);
  clock_.Advance(std::chrono::hours(1));
  EXPECT_GT(started(), first);
}

TEST_F(ScrubberTest, WhatSomebodyCouldNotDownloadIsLookedAtSoonAndNotTooOften) {
  const std::string artifact = Seal({1, 2});
  Scrub();
  fs::remove(PathOf(DigestOf(1)));
  Flip(DigestOf(2));
  EXPECT_TRUE(scrubber_->Suspect(DigestOf(1)));
  EXPECT_TRUE(scrubber_->Suspect(DigestOf(99))) << "who knows";
  ASSERT_OK(scrubber_->Turn({}));
  EXPECT_EQ(DamageOf(artifact).blobs(), 1u);
  EXPECT_EQ(scrubber_->Get().blobs_missing(), 0u) << "that of the last scrub stays as it was";
  EXPECT_FALSE(scrubber_->Suspect(DigestOf(99))) << "no artifact has it";

  scrubber_->SuspectArtifact(artifact);
  ASSERT_OK(scrubber_->Turn({}));
  EXPECT_EQ(DamageOf(artifact).blobs(), 1u) << "not so soon";
  clock_.Advance(std::chrono::seconds(30));
  ASSERT_OK(scrubber_->Turn({}));
  EXPECT_EQ(DamageOf(artifact).blobs(), 2u);
}

TEST_F(ScrubberTest, ADamagedArtifactIsMadeAgainByAJobOfItsOwn) {
  const std::string artifact = MakeArtifact();
  ASSERT_NE(artifact, "");
  const Digest chunk = AChunkOf(artifact);
  EXPECT_EQ(runner_->Repair({artifact}).front().second.status().code(),
            absl::StatusCode::kFailedPrecondition)
      << "it is whole";
  Flip(chunk);
  MakeRunner();  // its worker has not started
  Scrub();
  const std::vector<v1::Job> queued = Queued();
  ASSERT_THAT(queued, SizeIs(1));
  EXPECT_THAT(queued[0].repairs(), ElementsAre(artifact));
  EXPECT_THAT(queued[0].device_classes(), ElementsAre("iot"));
  EXPECT_EQ(DamageOf(artifact).job(), queued[0].name());
  EXPECT_THAT(DamageOf(artifact).remedy(), ::testing::HasSubstr(queued[0].name()));
  Scrub();
  EXPECT_THAT(Queued(), SizeIs(1)) << "one is enough";
  EXPECT_EQ(runner_->Repair({artifact}).front().second->name(), queued[0].name());

  const v1::Job job = RunToEnd(queued[0].name());
  EXPECT_EQ(job.state(), v1::Job::SUCCEEDED) << job.error_message();
  EXPECT_THAT(job.artifacts(), ElementsAre(artifact));
  EXPECT_THAT(Damaged(), IsEmpty());
  EXPECT_TRUE(blobs_.Stat(chunk).ok());
  EXPECT_EQ(Scrub().blobs_damaged(), 0u);
}

// An operator's own job does so as well, even if nobody has found the damage yet.
TEST_F(ScrubberTest, AJobThatIsRunAgainStoresWhatIsDamagedAgain) {
  const std::string artifact = MakeArtifact();
  ASSERT_NE(artifact, "");
  Flip(AChunkOf(artifact));
  MakeRunner();
  EXPECT_EQ(RunToEnd(Submit({"iot"})).state(), v1::Job::SUCCEEDED);
  EXPECT_EQ(Scrub().blobs_damaged(), 0u);
}

TEST_F(ScrubberTest, FilesThatChangedOrAreGoneMakeNoArtifactAgain) {
  const std::string artifact = MakeArtifact();
  ASSERT_NE(artifact, "");
  fs::remove(PathOf(AChunkOf(artifact)));
  WriteModel(2);
  MakeRunner();
  Scrub();
  ASSERT_THAT(Queued(), SizeIs(1));
  const v1::Job job = RunToEnd(Queued()[0].name());
  EXPECT_EQ(job.error_code(), static_cast<int>(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(*Once(*store_)->artifacts().List(""), SizeIs(1)) << "nothing else was made";

  fs::remove_all(model_);
  const auto repair = runner_->Repair({artifact});
  EXPECT_EQ(repair.front().second.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(DamageOf(artifact).remedy(), ::testing::HasSubstr("artifact repair"));
}

TEST_F(ScrubberTest, ARepairedArtifactIsNoNewerThanItWas) {
  const std::string artifact = MakeArtifact();
  ASSERT_NE(artifact, "");
  const std::string newer = Seal({1}, "tiny");
  Flip(AChunkOf(artifact));
  MakeRunner();
  Scrub();
  ASSERT_THAT(Queued(), SizeIs(1));
  EXPECT_EQ(RunToEnd(Queued()[0].name()).state(), v1::Job::SUCCEEDED);
  EXPECT_EQ(Once(*store_)->artifacts().List("tiny")->front().name(), newer);
}

TEST_F(ScrubberTest, ADamagedManifestIsMadeAgainAndNothingIsCollectedUntilThen) {
  const std::string artifact = MakeArtifact();
  ASSERT_NE(artifact, "");
  {
    soci::session sql("sqlite3", "db=" + (dir_ / "state.db").string());
    // One letter of it is another one.
    sql << "UPDATE artifacts SET manifest = substr(manifest, 1, length(manifest) / 2) || "
           "CASE substr(manifest, length(manifest) / 2 + 1, 1) WHEN 'A' THEN 'B' ELSE 'A' END || "
           "substr(manifest, length(manifest) / 2 + 2)";
  }
  EXPECT_EQ(CollectGarbage(*store_, blobs_, {}).status().code(), absl::StatusCode::kDataLoss);
  MakeRunner();
  Scrub();
  EXPECT_TRUE(Once(*store_)->artifacts().List("")->front().damage().manifest());
  ASSERT_THAT(Queued(), SizeIs(1));
  EXPECT_EQ(RunToEnd(Queued()[0].name()).state(), v1::Job::SUCCEEDED);
  EXPECT_THAT(Damaged(), IsEmpty());
  const auto collected = CollectGarbage(*store_, blobs_, {});
  ASSERT_OK(collected);
  EXPECT_EQ(collected->blobs_removed, 0u);
}

TEST_F(ScrubberTest, ADamagedFileOfAPushedModelIsSetAsideAndMayBePushedAgain) {
  const v1::Model first = Push();
  EXPECT_EQ(Scrub().blobs_checked(), static_cast<uint64_t>(first.files_size()));
  EXPECT_EQ(Push().version(), first.version()) << "the same files are the same version";
  const fs::path damaged = fs::path(first.path()) / "config.json";
  std::string bytes = *RealFileSystem().ReadAll(damaged);
  bytes[5] ^= 1;
  std::ofstream(damaged, std::ios::binary | std::ios::trunc) << bytes;
  const v1::Scrub scrub = Scrub();
  EXPECT_EQ(scrub.blobs_damaged(), 1u);
  ASSERT_THAT(scrub.affected(), SizeIs(1));
  EXPECT_THAT(scrub.affected(0), ::testing::HasSubstr("config.json of model tiny"));
  EXPECT_FALSE(fs::exists(damaged));
  EXPECT_TRUE(fs::exists(damaged.string() + ".damaged"));
  Push();
  EXPECT_THAT(Scrub().affected(), IsEmpty());
}

// As after restoring a backup without the models.
TEST_F(ScrubberTest, FilesThatArePushedAgainMakeTheArtifactAgain) {
  const v1::Model model = Push();
  const v1::Job made = RunToEnd(Submit({"iot"}));
  ASSERT_EQ(made.state(), v1::Job::SUCCEEDED) << made.error_message();
  runner_->Stop();
  fs::remove_all(dir_ / "blobs");
  fs::remove_all(model.path());
  MakeRunner();
  EXPECT_GT(Scrub().blobs_missing(), 1u);
  EXPECT_THAT(Queued(), IsEmpty());
  for (const auto& entry : fs::directory_iterator(model_))
    fs::last_write_time(entry.path(), fs::file_time_type::clock::now());
  EXPECT_EQ(Push().version(), model.version());
  Scrub();
  ASSERT_THAT(Queued(), SizeIs(1));
  const v1::Job job = RunToEnd(Queued()[0].name());
  EXPECT_EQ(job.state(), v1::Job::SUCCEEDED) << job.error_message();
  EXPECT_THAT(job.artifacts(), ElementsAre(made.artifacts(0)));
  EXPECT_THAT(Damaged(), IsEmpty());
}

}  // namespace
}  // namespace quantfleet::daemon
