// Installed bytes that are not those any more that were installed.
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <fstream>

#include "agent/update/slot_check.h"
#include "pipeline/artifact/kind.h"
#include "tests/agent/update/updater_fixture.h"
#include "tests/agent/verdict_matchers.h"

namespace quantfleet::agent {
namespace {

using ::testing::HasSubstr;

class DamageTest : public UpdaterTest {
 protected:
  // 200 chunks of 1,000 bytes.
  DamageTest() {
    std::vector<uint64_t> seeds(200);
    for (size_t i = 0; i < seeds.size(); ++i) seeds[i] = 1000 + i;
    model_ = MakeArtifact(seeds);
    fetched_of_model_ = model_.content.size();
  }
  fs::path File() const { return fs::canonical(folder_ / "current") / "files/model.gguf"; }
  std::string Content() const { return *RealFileSystem().ReadAll(File()); }
  void Flip(uint64_t bit) {
    const auto file = RealFileSystem().Open(File(), OpenMode::kUpdate);
    Bytes byte(1);
    ASSERT_TRUE((*file)->ReadAt(bit / 8, byte).ok());
    byte[0] ^= std::byte{1} << (bit % 8);
    ASSERT_TRUE((*file)->WriteAt(bit / 8, byte).ok());
  }
  void Zero(uint64_t first, uint64_t size) {
    const auto file = RealFileSystem().Open(File(), OpenMode::kUpdate);
    ASSERT_TRUE((*file)->WriteAt(first, Bytes(size)).ok());
  }
  bool Shown(v1::ModelStatus::Phase phase, Reason reason) const {
    return std::ranges::any_of(shown_, [&](const v1::ModelStatus& status) {
      return status.phase() == phase && status.reason() == NameOf(reason);
    });
  }
  // The agent starts again, and what was damaged is whole afterwards.
  void ExpectRepairedAfterARestart(size_t damaged_chunks) {
    blobs_.bytes_fetched = 0;
    shown_.clear();
    auto life = Reboot();
    ASSERT_TRUE(life->updater.Run({}));
    ExpectHealthy(life->updater.status(), model_, 1);
    EXPECT_EQ(life->updater.status().reason(), "");
    EXPECT_TRUE(Content() == model_.content);
    EXPECT_EQ(blobs_.bytes_fetched, damaged_chunks * kChunk) << "the damaged ones, and no other";
    EXPECT_TRUE(Shown(v1::ModelStatus::DOWNLOADING, Reason::kDamaged));
    // And that was all.
    blobs_.bytes_fetched = 0;
    life = Reboot();
    ASSERT_TRUE(life->updater.Run({}));
    EXPECT_EQ(life->updater.status().phase(), v1::ModelStatus::HEALTHY);
    EXPECT_EQ(blobs_.bytes_fetched, 0u);
  }

  FakeArtifact model_;
  size_t fetched_of_model_ = 0;
};

TEST_F(DamageTest, OneFlippedBitIsFoundAndItsChunkAloneFetchedAgain) {
  Apply(*Begin(), To(1, model_));
  Flip(8 * 77'777 + 3);
  ExpectRepairedAfterARestart(1);
}

TEST_F(DamageTest, TwoHundredFlippedBits) {
  Apply(*Begin(), To(1, model_));
  for (uint64_t i = 0; i < 200; ++i) Flip(8000 * i + 17 * i % 8000);
  ExpectRepairedAfterARestart(200);
}

TEST_F(DamageTest, AHoleOf64KiB) {
  Apply(*Begin(), To(1, model_));
  Zero(64'000, 64 << 10);
  ExpectRepairedAfterARestart(66);
}

TEST_F(DamageTest, HalfTheWeights) {
  Apply(*Begin(), To(1, model_));
  Zero(100'000, 100'000);
  ExpectRepairedAfterARestart(100);
}

TEST_F(DamageTest, AFileThatWasCutShortOrIsGone) {
  Apply(*Begin(), To(1, model_));
  fs::resize_file(File(), 150'500);
  ExpectRepairedAfterARestart(50);
  fs::remove(File());
  ExpectRepairedAfterARestart(200);
}

TEST_F(DamageTest, WithoutADaemonItAnswersOnAndSaysSo) {
  Apply(*Begin(), To(1, model_));
  Flip(8 * 5);
  blobs_.cut_after = 0;
  std::stop_source stop;
  sleeper_.on_sleep = [&] { stop.request_stop(); };
  auto life = Reboot();
  EXPECT_FALSE(life->updater.Run(stop.get_token()));
  sleeper_.on_sleep = nullptr;
  const v1::ModelStatus status = life->updater.status();
  EXPECT_EQ(status.phase(), v1::ModelStatus::DOWNLOADING);
  EXPECT_EQ(status.reason(), NameOf(Reason::kDamaged));
  EXPECT_EQ(status.active_manifest(), model_.digest.raw());
  EXPECT_TRUE(host_.running.contains(kModel));
  blobs_.cut_after = -1;
  ASSERT_TRUE(life->updater.Run({}));
  ExpectHealthy(life->updater.status(), model_, 1);
  EXPECT_TRUE(Content() == model_.content);
  EXPECT_TRUE(host_.running[kModel] == model_.content) << "it was loaded again";
}

TEST_F(DamageTest, WhatTheOtherSlotHasIsNotFetched) {
  const FakeArtifact next = MakeArtifact({1000, 1001, 5});
  auto life = Begin();
  Apply(*life, To(1, model_));
  ExpectHealthy(Apply(*life, To(2, next)), next, 2);
  Flip(8 * 500);
  blobs_.bytes_fetched = 0;
  life = Reboot();
  ASSERT_TRUE(life->updater.Run({}));
  ExpectHealthy(life->updater.status(), next, 2);
  EXPECT_EQ(blobs_.bytes_fetched, 0u);
}

TEST_F(DamageTest, WhatTheDaemonDoesNotOfferAnyMoreIsSaid) {
  auto life = Begin();
  Apply(*life, To(1, model_));
  host_.sick = {v2_.content};
  ExpectFailed(Apply(*life, To(2, v2_)), Reason::kHealthFailed);
  Flip(8 * 500);
  artifacts_.erase(model_.digest);
  life = Reboot();
  ASSERT_TRUE(life->updater.Run({}));
  const v1::ModelStatus status = life->updater.status();
  ExpectFailed(status, Reason::kHealthFailed);
  EXPECT_THAT(status.detail(), HasSubstr("1 of 200 chunks of what runs are damaged"));
  EXPECT_TRUE(host_.running.contains(kModel));
}

TEST_F(DamageTest, AVersionThatIsDamagedIsStillOneToGoBackTo) {
  auto life = Begin();
  Apply(*life, To(1, model_));
  Flip(8 * 500);
  const std::string damaged = Content();
  blobs_.cut_after = 0;
  std::stop_source stop;
  sleeper_.on_sleep = [&] { stop.request_stop(); };
  life = Reboot();
  EXPECT_FALSE(life->updater.Run(stop.get_token()));
  sleeper_.on_sleep = nullptr;
  blobs_.cut_after = -1;
  artifacts_.erase(model_.digest);
  host_.sick = {v2_.content};
  ExpectFailed(Apply(*life, To(2, v2_)), Reason::kHealthFailed);
  EXPECT_TRUE(host_.running[kModel] == damaged);
}

// The check comes before the golden answers are asked for.
TEST_F(DamageTest, WhatWasSwitchedToAndDamagedIsRepairedBeforeItIsProven) {
  host_.on_start = [] { return Verdict(Reason::kInterrupted, "stopping"); };
  std::stop_source stop;
  sleeper_.on_sleep = [&] { stop.request_stop(); };
  auto life = Begin();
  life->updater.Accept(To(1, model_));
  EXPECT_FALSE(life->updater.Run(stop.get_token()));
  sleeper_.on_sleep = nullptr;
  host_.on_start = nullptr;
  const int starts = host_.starts;
  Zero(0, 2500);
  life = Reboot();
  ASSERT_TRUE(life->updater.Run({}));
  ExpectHealthy(life->updater.status(), model_, 1);
  EXPECT_EQ(host_.starts, starts + 1);
}

TEST_F(DamageTest, AFileThatIsCutShortWhileItRunsIsRepairedAndLoadedAgain) {
  auto life = Begin();
  Apply(*life, To(1, model_));
  const int starts = host_.starts;
  fs::resize_file(File(), 3000);
  host_.condition = Verdict(Reason::kDamaged, "the model's file was cut short");
  host_.on_start = [&] {
    host_.condition = {};
    return Verdict();
  };
  ASSERT_TRUE(life->updater.Run({}));
  ExpectHealthy(life->updater.status(), model_, 1);
  EXPECT_TRUE(Content() == model_.content);
  EXPECT_EQ(host_.starts, starts + 1);
  EXPECT_TRUE(Shown(v1::ModelStatus::VERIFYING, Reason::kDamaged));
  // A disk that could not be read for a moment: nothing to fetch, and loaded again.
  blobs_.bytes_fetched = 0;
  host_.condition = Verdict(Reason::kDamaged, "its disk cannot read it");
  ASSERT_TRUE(life->updater.Run({}));
  ExpectHealthy(life->updater.status(), model_, 1);
  EXPECT_EQ(host_.starts, starts + 2);
  EXPECT_EQ(blobs_.bytes_fetched, 0u);
}

TEST_F(DamageTest, ABudgetHoldsForRepairs) {
  auto life = Begin();
  Assignment assignment = To(1, model_);
  assignment.network.set_budget_bytes(model_.content.size());
  assignment.network.set_budget_days(30);
  Apply(*life, assignment);
  Flip(8 * 500);
  life = Reboot();
  ASSERT_TRUE(life->updater.Run({}));
  EXPECT_EQ(life->updater.status().phase(), v1::ModelStatus::AWAITING_APPROVAL);
  clock_.Advance(std::chrono::hours(24 * 31));
  ASSERT_TRUE(life->updater.Run({}));
  ExpectHealthy(life->updater.status(), model_, 1);
}

TEST_F(DamageTest, PowerCutAtAnyChangeOfARepairEndsWhole) {
  const auto live = [&](FileSystem& files, const fs::path& root) {
    host_.running.clear();
    return std::make_unique<Life>(Environment(files), root / "models/m");
  };
  testing::CutPowerAtEachChange({
      .prepare =
          [&](const fs::path& root) {
            Apply(*live(files_, root), To(1, v1_));
            std::fstream(root / "models/m/slots/a/files/model.gguf") << "damage";
          },
      .act =
          [&](FileSystem& files, const fs::path& root) {
            std::stop_source stop;
            sleeper_.on_sleep = [&] { stop.request_stop(); };
            live(files, root)->updater.Run(stop.get_token());
            sleeper_.on_sleep = nullptr;
          },
      .check =
          [&](FileSystem& files, const fs::path& root, bool) {
            const auto life = live(files, root);
            ASSERT_TRUE(life->updater.Run({}));
            ExpectHealthy(life->updater.status(), v1_, 1);
            EXPECT_TRUE(*files.ReadAll(root / "models/m/slots/a/files/model.gguf") == v1_.content);
          },
      .step = 3,
  });
}

// A release of the agent: it is not started damaged, and a program that runs cannot be written.
class DamagedProgram : public DamageTest {
 protected:
  std::unique_ptr<Updater> Live() {
    host_.running.clear();
    auto updater = std::make_unique<Updater>(environment_, kName, folder_);
    updater->Boot();
    return updater;
  }
  Assignment Release(uint64_t release, const FakeArtifact& artifact) {
    Assignment assignment = To(release, artifact);
    assignment.model = kName;
    return assignment;
  }
  const std::string kName{pipeline::kAgentModel};
  UpdateEnvironment environment_ = Environment(files_);
};

TEST_F(DamagedProgram, IsReplacedAndStartedOnlyWhole) {
  auto updater = Live();
  updater->Accept(Release(1, v1_));
  ASSERT_TRUE(updater->Run({}));
  struct stat before, after;
  ASSERT_EQ(::stat(File().c_str(), &before), 0);
  Flip(8 * 5);
  host_.on_start = [&] {
    EXPECT_TRUE(Content() == v1_.content);
    return Verdict();
  };
  updater = Live();
  EXPECT_TRUE(host_.running.empty());
  ASSERT_TRUE(updater->Run({}));
  EXPECT_EQ(updater->status().phase(), v1::ModelStatus::HEALTHY);
  ASSERT_EQ(::stat(File().c_str(), &after), 0);
  EXPECT_NE(before.st_ino, after.st_ino);
  EXPECT_EQ(before.st_mode, after.st_mode);
}

TEST_F(DamagedProgram, AProvenReleaseThatItsHostGivesUpAtStartGoesBack) {
  auto updater = Live();
  for (const auto& [release, artifact] : {std::pair(1, &v1_), std::pair(2, &v2_)}) {
    updater->Accept(Release(static_cast<uint64_t>(release), *artifact));
    ASSERT_TRUE(updater->Run({}));
  }
  host_.sick = {v2_.content};
  const int starts = host_.starts;
  updater = Live();
  host_.sick.clear();  // a trial would be passed: it is not asked again
  ASSERT_TRUE(updater->Run({}));
  EXPECT_EQ(updater->status().phase(), v1::ModelStatus::FAILED);
  EXPECT_EQ(updater->status().reason(), NameOf(Reason::kHealthFailed));
  EXPECT_EQ(host_.running[kName], v1_.content);
  EXPECT_EQ(host_.starts, starts + 2);
}

TEST(FindDamage, ReadsAtABoundedRateBehindTheFirstSecond) {
  constexpr uint64_t kChunks = 40, kBytes = pipeline::kMaxChunkBytes;
  const testing::TempDir dir;
  v1::Manifest manifest;
  v1::ArtifactFile& file = *manifest.add_files();
  file.set_path("model.gguf");
  file.set_size(kChunks * kBytes);
  const Digest zeros = HashBytes(Bytes(kBytes));
  for (uint64_t i = 0; i < kChunks; ++i) {
    file.add_chunks()->set_digest(zeros.raw());
    file.mutable_chunks(static_cast<int>(i))->set_size(kBytes);
  }
  std::ofstream(dir / "model.gguf").put(0);
  fs::resize_file(dir / "model.gguf", kChunks * kBytes);
  ManualClock clock;
  FakeSleeper sleeper(&clock);
  const auto whole = FindDamage(RealFileSystem(), dir.path(), manifest, clock, sleeper, {});
  ASSERT_CAME_OFF(whole);
  EXPECT_TRUE((*whole).empty());
  Duration slept{0};
  for (const Duration time : sleeper.slept()) slept += time;
  EXPECT_EQ(SizeOf(manifest), 160u << 20);
  EXPECT_GE(slept, std::chrono::milliseconds(1490));
  EXPECT_LE(slept, std::chrono::milliseconds(1510));
  std::fstream(dir / "model.gguf").seekp(static_cast<int64_t>(7 * kBytes + 5)).put('x');
  const auto damaged = FindDamage(RealFileSystem(), dir.path(), manifest, clock, sleeper, {});
  ASSERT_CAME_OFF(damaged);
  EXPECT_EQ(*damaged, (std::vector<uint32_t>{7}));
  std::stop_source stop;
  stop.request_stop();
  EXPECT_SETBACK(
      FindDamage(RealFileSystem(), dir.path(), manifest, clock, sleeper, stop.get_token()),
      kInterrupted, "");
}

}  // namespace
}  // namespace quantfleet::agent
