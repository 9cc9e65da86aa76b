#include <gmock/gmock.h>

#include <fstream>

#include "tests/agent/update/updater_fixture.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/status_matchers.h"

namespace quantfleet::agent {
namespace {

using ::testing::HasSubstr;
using testing::Names;

TEST_F(UpdaterTest, PullsVerifiesActivates) {
  auto life = Begin();
  const v1::ModelStatus status = Apply(*life, To(1, v1_));
  ExpectHealthy(status, v1_, 1);
  EXPECT_EQ(status.bytes_pulled(), 4 * kChunk);
  EXPECT_EQ(status.bytes_reused(), 0u);
  EXPECT_DOUBLE_EQ(status.tokens_per_second(), 12.5);
  std::vector<v1::ModelStatus::Phase> phases;
  for (const v1::ModelStatus& shown : shown_)
    if (phases.empty() || phases.back() != shown.phase()) phases.push_back(shown.phase());
  EXPECT_EQ(phases, (std::vector{v1::ModelStatus::DOWNLOADING, v1::ModelStatus::VERIFYING,
                                 v1::ModelStatus::ACTIVATING, v1::ModelStatus::HEALTHY}));
}

TEST_F(UpdaterTest, WhatTheClassAsksForDecides) {
  golden_.emplace().add_answer(1);
  auto life = Begin();
  Assignment first = To(1, v1_);
  first.health.set_min_tokens_per_second(12.5);
  ExpectHealthy(Apply(*life, first), v1_, 1);
  EXPECT_EQ(host_.golden_asked, 1u);

  Assignment second = To(2, v2_);
  second.health.set_min_tokens_per_second(20);
  v1::ModelStatus status = Apply(*life, second);
  ExpectFailed(status, Reason::kTooSlow);
  EXPECT_THAT(status.detail(), Names("12.50", "20.00"));
  EXPECT_EQ(status.active_manifest(), v1_.digest.raw());
  EXPECT_EQ(host_.running[kModel], v1_.content) << "the previous version answers";

  second.release = 3;
  second.health.set_min_tokens_per_second(0);
  second.health.set_min_memory_available_bytes(2);
  host_.health.memory_available_bytes = 1;
  ExpectFailed(Apply(*life, second), Reason::kOutOfMemory);

  second.release = 4;
  second.health = {};
  second.health.set_min_golden_agreement(0.5);
  host_.health.golden_agreement = 0.25;
  ExpectFailed(Apply(*life, second), Reason::kHealthFailed);
  life = Reboot();
  ASSERT_TRUE(life->updater.Run({}));
  status = life->updater.status();
  ExpectFailed(status, Reason::kHealthFailed);
  EXPECT_EQ(host_.running[kModel], v1_.content) << "what was proven once is not asked again";
  EXPECT_THAT(status.detail(), Names("25.0 %", "50.0 %"));
}

// The limits and the golden prompts are on the disk before anything is switched.
TEST_F(UpdaterTest, ALimitHoldsAlsoAfterACut) {
  golden_.emplace().add_answer(1);
  auto life = Begin();
  ExpectHealthy(Apply(*life, To(1, v1_)), v1_, 1);
  Assignment second = To(2, v2_);
  second.health.set_min_tokens_per_second(20);
  life->updater.Accept(second);
  life = Reboot();
  ASSERT_TRUE(life->updater.Run({}));
  ExpectFailed(life->updater.status(), Reason::kTooSlow);
  EXPECT_EQ(host_.golden_asked, 1u);
  EXPECT_EQ(host_.running[kModel], v1_.content);
}

TEST_F(UpdaterTest, ReusesWhatTheRunningSlotHas) {
  auto life = Begin();
  Apply(*life, To(1, v1_));
  const v1::ModelStatus status = Apply(*life, To(2, v2_));
  ExpectHealthy(status, v2_, 2);
  EXPECT_EQ(status.bytes_pulled(), 3 * kChunk);
  EXPECT_EQ(status.bytes_reused(), 2 * kChunk);
  EXPECT_EQ(blobs_.fetches[v1_.chunks[0]], 1);
}

TEST_F(UpdaterTest, RepeatedChunkIsPulledOnce) {
  const FakeArtifact twins = MakeArtifact({7, 7, 8, 7});
  auto life = Begin();
  ExpectHealthy(Apply(*life, To(1, twins)), twins, 1);
  EXPECT_EQ(blobs_.fetches[twins.chunks[0]], 1);
}

TEST_F(UpdaterTest, GoingBackIsANewReleaseAndPullsNothing) {
  auto life = Begin();
  Apply(*life, To(1, v1_));
  Apply(*life, To(2, v2_));
  const uint64_t fetched = blobs_.bytes_fetched;
  const v1::ModelStatus status = Apply(*life, To(3, v1_));
  ExpectHealthy(status, v1_, 3);
  EXPECT_EQ(blobs_.bytes_fetched, fetched);
  EXPECT_EQ(status.bytes_pulled(), 0u);
  EXPECT_EQ(status.bytes_reused(), v1_.content.size());
}

TEST_F(UpdaterTest, SameReleaseAgainIsNothingToDo) {
  auto life = Begin();
  Apply(*life, To(1, v1_));
  const int starts = host_.starts;
  Apply(*life, To(1, v1_));
  EXPECT_EQ(host_.starts, starts);
}

TEST_F(UpdaterTest, LowerReleaseIsRefusedAlsoAfterARestart) {
  auto life = Begin();
  Apply(*life, To(5, v1_));
  life = Reboot();
  ASSERT_TRUE(life->updater.Run({}));
  const v1::ModelStatus status = Apply(*life, To(4, v2_));
  ExpectFailed(status, Reason::kRollbackRefused);
  EXPECT_EQ(status.release(), 5u);
  EXPECT_EQ(status.active_manifest(), v1_.digest.raw());
  EXPECT_EQ(host_.running[kModel], v1_.content) << "what ran goes on running";
  EXPECT_EQ(blobs_.fetches[v2_.chunks[1]], 0) << "nothing was pulled for it";
  // The right one again puts the report right.
  ExpectHealthy(Apply(*life, To(5, v1_)), v1_, 5);
}

TEST_F(UpdaterTest, SameReleaseWithAnotherArtifactIsRefused) {
  auto life = Begin();
  Apply(*life, To(5, v1_));
  ExpectFailed(Apply(*life, To(5, v2_)), Reason::kAssignmentRefused);
  EXPECT_EQ(host_.running[kModel], v1_.content);
}

TEST_F(UpdaterTest, ChunkThatCameWrongOnceIsFetchedAgainAlone) {
  blobs_.tampered[v1_.chunks[2]] = 1;
  auto life = Begin();
  ExpectHealthy(Apply(*life, To(1, v1_)), v1_, 1);
  EXPECT_EQ(blobs_.fetches[v1_.chunks[2]], 2);
  for (const int other : {0, 1, 3}) EXPECT_EQ(blobs_.fetches[v1_.chunks[other]], 1);
}

TEST_F(UpdaterTest, ChunkThatIsAlwaysWrongActivatesNothing) {
  blobs_.tampered[v1_.chunks[2]] = 1000;
  auto life = Begin();
  const v1::ModelStatus status = Apply(*life, To(1, v1_));
  ExpectFailed(status, Reason::kVerifyFailed);
  EXPECT_THAT(status.detail(), HasSubstr(v1_.chunks[2].hex()));
  EXPECT_EQ(blobs_.fetches[v1_.chunks[2]], Downloader::kTries);
  EXPECT_TRUE(host_.running.empty());
  EXPECT_FALSE(fs::exists(fs::symlink_status(folder_ / "current")));
  // Mended at the source, a new release needs only what is missing.
  blobs_.tampered.clear();
  const v1::ModelStatus mended = Apply(*life, To(2, v1_));
  ExpectHealthy(mended, v1_, 2);
  EXPECT_EQ(mended.bytes_pulled(), 2 * kChunk);
  EXPECT_EQ(blobs_.fetches[v1_.chunks[0]], 1);
}

TEST_F(UpdaterTest, CutDownloadGoesOnWhereItWas) {
  blobs_.cut_after = 3;
  sleeper_.on_sleep = [&] { blobs_.cut_after = -1; };
  auto life = Begin();
  ExpectHealthy(Apply(*life, To(1, v1_)), v1_, 1);
  EXPECT_EQ(sleeper_.slept().size(), 1u);
  EXPECT_EQ(blobs_.bytes_fetched, 4 * kChunk) << "nothing came twice";
}

TEST_F(UpdaterTest, CutDownloadGoesOnAfterARestart) {
  blobs_.cut_after = 3;
  std::stop_source stop;
  sleeper_.on_sleep = [&] { stop.request_stop(); };
  auto life = Begin();
  life->updater.Accept(To(1, v1_));
  EXPECT_FALSE(life->updater.Run(stop.get_token()));
  EXPECT_EQ(life->updater.status().bytes_done(), 3 * kChunk);
  blobs_.cut_after = -1;
  life = Reboot();
  ASSERT_TRUE(life->updater.Run({})) << "no assignment is needed: it was accepted";
  ExpectHealthy(life->updater.status(), v1_, 1);
  EXPECT_EQ(life->updater.status().bytes_pulled(), 4 * kChunk);
  EXPECT_EQ(blobs_.bytes_fetched, 4 * kChunk);
}

TEST_F(UpdaterTest, BacksOffWithJitterWhileTheDaemonIsAway) {
  blobs_.cut_after = 0;
  std::stop_source stop;
  sleeper_.on_sleep = [&] {
    if (sleeper_.slept().size() == 12) stop.request_stop();
  };
  auto life = Begin();
  life->updater.Accept(To(1, v1_));
  EXPECT_FALSE(life->updater.Run(stop.get_token()));
  EXPECT_LE(sleeper_.slept().front(), Duration(500));
  EXPECT_GE(sleeper_.slept().back(), std::chrono::seconds(30));
  EXPECT_LE(sleeper_.slept().back(), std::chrono::seconds(60));
  EXPECT_THAT(life->updater.status().detail(), HasSubstr("connection reset"));
  EXPECT_EQ(life->updater.status().phase(), v1::ModelStatus::DOWNLOADING);
}

TEST_F(UpdaterTest, RevokedDeviceStopsPullingAndTriesSeldom) {
  auto life = Begin();
  Apply(*life, To(1, v1_));
  blobs_.error = PermissionDenied("HTTP 403 Forbidden");
  std::stop_source stop;
  sleeper_.on_sleep = [&] { stop.request_stop(); };
  life->updater.Accept(To(2, v2_));
  EXPECT_FALSE(life->updater.Run(stop.get_token()));
  EXPECT_GE(sleeper_.slept().back(), std::chrono::seconds(15));
  EXPECT_EQ(host_.running[kModel], v1_.content);
}

TEST_F(UpdaterTest, ManifestThatIsNotTheOneAssignedIsRefused) {
  spoil_artifact = [&](v1::DeviceArtifact* answer) {
    answer->set_manifest(pipeline::SerializeManifest(v2_.manifest));
  };
  auto life = Begin();
  ExpectFailed(Apply(*life, To(1, v1_)), Reason::kVerifyFailed);
  EXPECT_EQ(blobs_.bytes_fetched, 0u);
}

TEST_F(UpdaterTest, ArtifactThatNobodyVouchesForIsRefused) {
  spoil_artifact = [](v1::DeviceArtifact* answer) { answer->clear_statements(); };
  auto life = Begin();
  ExpectFailed(Apply(*life, To(1, v1_)), Reason::kVerifyFailed);
  EXPECT_EQ(blobs_.bytes_fetched, 0u);
}

TEST_F(UpdaterTest, EncodingOfTheFutureIsAClearFailure) {
  spoil_artifact = [](v1::DeviceArtifact* answer) {
    answer->mutable_stored(0)->set_encoding("xor-delta");
  };
  auto life = Begin();
  const v1::ModelStatus status = Apply(*life, To(1, v1_));
  ExpectFailed(status, Reason::kArtifactUnavailable);
  EXPECT_THAT(status.detail(), HasSubstr("xor-delta"));
}

TEST_F(UpdaterTest, FullDiskFailsAndKeepsWhatRuns) {
  testing::FaultyFileSystem files({.write_budget = 1 << 20});
  auto life = Begin(files);
  Apply(*life, To(1, v1_));
  files.SetWriteBudget(2500);
  const v1::ModelStatus status = Apply(*life, To(2, v2_));
  ExpectFailed(status, Reason::kDiskFull);
  EXPECT_EQ(status.active_manifest(), v1_.digest.raw());
  EXPECT_EQ(host_.running[kModel], v1_.content);
  // Room again and a new release: it goes through.
  files.SetWriteBudget(1 << 20);
  ExpectHealthy(Apply(*life, To(3, v2_)), v2_, 3);
}

TEST_F(UpdaterTest, WhatMustStayFreeIsSaidWhereTheRestWouldDo) {
  testing::FaultyFileSystem files;
  files.SetFreeSpace(1 << 20);
  auto life = Begin(files);
  const v1::ModelStatus status = Apply(*life, To(1, v1_));
  ExpectFailed(status, Reason::kDiskFull);
  EXPECT_THAT(status.detail(), HasSubstr("8.0 MiB"));  // without it, 1.0 MiB would be enough
  EXPECT_THAT(status.detail(), HasSubstr("1.0 MiB"));
}

TEST_F(UpdaterTest, SickVersionIsRolledBackAndNotTriedAgain) {
  auto life = Begin();
  Apply(*life, To(1, v1_));
  host_.sick = {v2_.content};
  const v1::ModelStatus status = Apply(*life, To(2, v2_));
  ExpectFailed(status, Reason::kHealthFailed);
  EXPECT_THAT(status.detail(), HasSubstr("generated no text"));
  EXPECT_EQ(status.active_manifest(), v1_.digest.raw());
  EXPECT_EQ(host_.running[kModel], v1_.content);

  life = Reboot();
  const int starts = host_.starts;
  ASSERT_TRUE(life->updater.Run({}));
  ExpectFailed(life->updater.status(), Reason::kHealthFailed);
  EXPECT_EQ(host_.running[kModel], v1_.content);
  EXPECT_EQ(host_.starts, starts) << "the sick version is not tried again";
  // Mended by a new release of the same artifact, without a download.
  host_.sick.clear();
  const uint64_t fetched = blobs_.bytes_fetched;
  ExpectHealthy(Apply(*life, To(3, v2_)), v2_, 3);
  EXPECT_EQ(blobs_.bytes_fetched, fetched);
}

// The agent's own release says once that it was given up. News of the same assignment came in that
// moment, nobody wrote the failure down, and the release was tried again.
TEST_F(UpdaterTest, WhatWasFoundIsNotLostToNewsThatComeMeanwhile) {
  auto life = Begin();
  std::stop_source news;
  host_.on_start = [&] {
    news.request_stop();
    return Verdict(Reason::kHealthFailed, "said once");
  };
  life->updater.Accept(To(1, v1_));
  life->updater.Run(news.get_token());
  host_.on_start = nullptr;  // whoever asked again would find it healthy
  const int starts = host_.starts;
  ASSERT_TRUE(life->updater.Run({}));
  ExpectFailed(life->updater.status(), Reason::kHealthFailed);
  EXPECT_EQ(host_.starts, starts);
}

TEST_F(UpdaterTest, SickFirstVersionLeavesNothingActive) {
  host_.sick = {v1_.content};
  auto life = Begin();
  const v1::ModelStatus status = Apply(*life, To(1, v1_));
  ExpectFailed(status, Reason::kHealthFailed);
  EXPECT_TRUE(status.active_manifest().empty());
  EXPECT_FALSE(fs::exists(fs::symlink_status(folder_ / "current")));
}

TEST_F(UpdaterTest, VersionThatBecameSickOnDiskGoesBackAtBoot) {
  auto life = Begin();
  Apply(*life, To(1, v1_));
  Apply(*life, To(2, v2_));
  host_.sick = {v2_.content};
  life = Reboot();
  ASSERT_TRUE(life->updater.Run({}));
  ExpectFailed(life->updater.status(), Reason::kHealthFailed);
  EXPECT_EQ(host_.running[kModel], v1_.content);
}

TEST_F(UpdaterTest, EmptyDigestRemovesTheModel) {
  auto life = Begin();
  Apply(*life, To(1, v1_));
  const v1::ModelStatus status = Apply(*life, {kModel, 2, std::nullopt});
  EXPECT_EQ(status.phase(), v1::ModelStatus::REMOVED);
  EXPECT_TRUE(host_.running.empty());
  EXPECT_FALSE(fs::exists(folder_ / "slots"));
  life = Reboot();
  ASSERT_TRUE(life->updater.Run({}));
  EXPECT_EQ(life->updater.status().phase(), v1::ModelStatus::REMOVED);
  ExpectFailed(Apply(*life, To(1, v1_)), Reason::kRollbackRefused);
}

// A cosmic ray in the idle slot between download and check.
TEST_F(UpdaterTest, ChunkDamagedOnDiskIsBroughtAgain) {
  blobs_.cut_after = 3;
  sleeper_.on_sleep = [&] {
    blobs_.cut_after = -1;
    auto file = RealFileSystem().Open(folder_ / "slots/a/files/model.gguf", OpenMode::kUpdate);
    ASSERT_TRUE(file.ok());
    ASSERT_TRUE((*file)->WriteAt(10, AsBytes("damage")).ok());
  };
  auto life = Begin();
  ExpectHealthy(Apply(*life, To(1, v1_)), v1_, 1);
  EXPECT_EQ(blobs_.fetches[v1_.chunks[0]], 2);
  EXPECT_EQ(blobs_.fetches[v1_.chunks[1]], 1);
}

TEST_F(UpdaterTest, DamagedRecordAcceptsNothingAndKeepsRunning) {
  auto life = Begin();
  Apply(*life, To(5, v1_));
  std::ofstream(folder_ / "record.json") << "{";
  life = Reboot();
  ASSERT_TRUE(life->updater.Run({}));
  EXPECT_EQ(host_.running[kModel], v1_.content);
  ExpectFailed(Apply(*life, To(4, v2_)), Reason::kStateDamaged);
  EXPECT_EQ(host_.running[kModel], v1_.content);
}

// The power goes at every single change of the disk during an update from v1 to v2, one after the
// other.
TEST_F(UpdaterTest, PowerCutAtAnyChangeEndsHealthy) {
  const auto live = [&](FileSystem& files, const fs::path& root) {
    host_.running.clear();
    return std::make_unique<Life>(Environment(files), root / "models/m");
  };
  const auto changes = testing::CutPowerAtEachChange({
      .prepare =
          [&](const fs::path& root) {
            Apply(*live(files_, root), To(1, v1_));
            ASSERT_EQ(host_.running[kModel], v1_.content);
          },
      .act =
          [&](FileSystem& files, const fs::path& root) {
            std::stop_source stop;
            sleeper_.on_sleep = [&] { stop.request_stop(); };
            const auto life = live(files, root);
            life->updater.Accept(To(2, v2_));
            life->updater.Run(stop.get_token());
            sleeper_.on_sleep = nullptr;
          },
      .check =
          [&](FileSystem& files, const fs::path& root, bool done) {
            const auto life = live(files, root);
            ASSERT_TRUE(life->updater.Run({}));
            ASSERT_TRUE(host_.running[kModel] == v2_.content ||
                        (!done && host_.running[kModel] == v1_.content));
            ExpectHealthy(Apply(*life, To(2, v2_)), v2_, 2);
          },
  });
  EXPECT_GT(changes, 20);
}

TEST_F(UpdaterTest, PowerCutAtAnyChangeOfTheFirstVersionEndsHealthy) {
  const auto live = [&](FileSystem& files, const fs::path& root) {
    host_.running.clear();
    return std::make_unique<Life>(Environment(files), root / "models/m");
  };
  testing::CutPowerAtEachChange({
      .act =
          [&](FileSystem& files, const fs::path& root) {
            std::stop_source stop;
            sleeper_.on_sleep = [&] { stop.request_stop(); };
            const auto life = live(files, root);
            life->updater.Accept(To(1, v1_));
            life->updater.Run(stop.get_token());
            sleeper_.on_sleep = nullptr;
          },
      .check =
          [&](FileSystem& files, const fs::path& root, bool done) {
            const auto life = live(files, root);
            ASSERT_TRUE(life->updater.Run({}));
            EXPECT_TRUE(!done || host_.running[kModel] == v1_.content);
            ExpectHealthy(Apply(*life, To(1, v1_)), v1_, 1);
          },
  });
}

v1::Runtime RuntimeNamed(const std::string& command) {
  v1::Runtime runtime;
  runtime.set_command(command);
  return runtime;
}

TEST_F(UpdaterTest, ARuntimeThatTheDeviceDoesNotAllowIsRefusedBeforeAnythingIsPulled) {
  auto life = Begin();
  ExpectHealthy(Apply(*life, To(1, v1_)), v1_, 1);
  const uint64_t pulled = blobs_.bytes_fetched;
  Assignment other = To(2, v2_);
  other.runtime = RuntimeNamed("server");
  const v1::ModelStatus refused = Apply(*life, other);
  ExpectFailed(refused, Reason::kRuntimeRefused);
  EXPECT_EQ(refused.active_manifest(), v1_.digest.raw());
  EXPECT_EQ(host_.running[kModel], v1_.content);
  EXPECT_EQ(blobs_.bytes_fetched, pulled);
  // Allowed at the next start of the agent, it goes on.
  host_.allowed = {"server"};
  life = Reboot();
  EXPECT_TRUE(life->updater.Run({}));
  ExpectHealthy(life->updater.status(), v2_, 2);
  EXPECT_EQ(life->updater.status().active_runtime().command(), "server");
}

TEST_F(UpdaterTest, EachVersionRunsWithWhatItWasProvenWith) {
  host_.allowed = {"server", "other"};
  auto life = Begin();
  Assignment first = To(1, v1_);
  first.runtime = RuntimeNamed("server");
  ExpectHealthy(Apply(*life, first), v1_, 1);
  host_.sick.insert(v2_.content);
  Assignment second = To(2, v2_);
  second.runtime = RuntimeNamed("other");
  ExpectFailed(Apply(*life, second), Reason::kHealthFailed);
  for (int boots = 0; boots < 2; ++boots) {
    EXPECT_EQ(host_.running[kModel], v1_.content);
    EXPECT_EQ(host_.runtimes[kModel], "server");
    host_.runtimes.clear();
    life = Reboot();
  }
}

TEST_F(UpdaterTest, AnotherRuntimeForTheSameArtifactGoesBackToTheOneBefore) {
  host_.allowed = {"server"};
  host_.sick_runtimes = {"server"};
  auto life = Begin();
  ExpectHealthy(Apply(*life, To(1, v1_)), v1_, 1);
  Assignment second = To(2, v1_);
  second.runtime = RuntimeNamed("server");
  const v1::ModelStatus failed = Apply(*life, second);
  ExpectFailed(failed, Reason::kHealthFailed);
  EXPECT_EQ(failed.active_manifest(), v1_.digest.raw());
  EXPECT_FALSE(failed.has_active_runtime());
  life = Reboot();
  EXPECT_TRUE(life->updater.Run({}));
  ExpectFailed(life->updater.status(), Reason::kHealthFailed);
  EXPECT_EQ(host_.running[kModel], v1_.content);
  EXPECT_EQ(host_.runtimes[kModel], "");
}

TEST_F(UpdaterTest, WhatItsHostGaveUpGoesBack) {
  host_.allowed = {"server"};
  auto life = Begin();
  ExpectHealthy(Apply(*life, To(1, v1_)), v1_, 1);
  Assignment second = To(2, v2_);
  second.runtime = RuntimeNamed("server");
  ExpectHealthy(Apply(*life, second), v2_, 2);
  EXPECT_TRUE(life->updater.Run({}));  // nothing happened: nothing to do
  ExpectHealthy(life->updater.status(), v2_, 2);
  host_.condition = Verdict(Reason::kHealthFailed, "it ended 6 times in a row");
  EXPECT_TRUE(life->updater.Run({}));
  const v1::ModelStatus failed = life->updater.status();
  ExpectFailed(failed, Reason::kHealthFailed);
  EXPECT_THAT(failed.detail(), HasSubstr("6 times"));
  EXPECT_EQ(failed.active_manifest(), v1_.digest.raw());
  EXPECT_EQ(host_.runtimes[kModel], "");
  // And what it went back to, too: then nothing answers, and that is said.
  EXPECT_TRUE(life->updater.Run({}));
  const v1::ModelStatus out = life->updater.status();
  ExpectFailed(out, Reason::kHealthFailed);
  EXPECT_EQ(out.active_manifest(), "");
  EXPECT_THAT(out.detail(), HasSubstr("failed too"));
  EXPECT_TRUE(host_.running.empty());
}

TEST_F(UpdaterTest, AWayBackThatWasBrokenOffIsGoneLater) {
  host_.allowed = {"server"};
  auto life = Begin();
  ExpectHealthy(Apply(*life, To(1, v1_)), v1_, 1);
  Assignment second = To(2, v2_);
  second.runtime = RuntimeNamed("server");
  ExpectHealthy(Apply(*life, second), v2_, 2);
  host_.condition = Verdict(Reason::kHealthFailed, "it ended 6 times in a row");
  std::stop_source stop;
  host_.on_start = [&] {
    stop.request_stop();  // another model's assignment came
    return Verdict(Reason::kInterrupted, "stopping");
  };
  EXPECT_FALSE(life->updater.Run(stop.get_token()));
  host_.on_start = nullptr;
  host_.condition = {};
  EXPECT_TRUE(life->updater.Run({}));
  const v1::ModelStatus failed = life->updater.status();
  ExpectFailed(failed, Reason::kHealthFailed);
  EXPECT_EQ(failed.active_manifest(), v1_.digest.raw());
  EXPECT_EQ(host_.runtimes[kModel], "");
}

TEST_F(UpdaterTest, AProofThatWasBrokenOffSaysNothingAboutTheArtifact) {
  host_.on_start = [] { return Verdict(Reason::kInterrupted, "stopping"); };
  std::stop_source stop;
  sleeper_.on_sleep = [&] { stop.request_stop(); };
  auto life = Begin();
  life->updater.Accept(To(1, v1_));
  EXPECT_FALSE(life->updater.Run(stop.get_token()));
  host_.on_start = nullptr;
  life = Reboot();
  EXPECT_TRUE(life->updater.Run({}));
  ExpectHealthy(life->updater.status(), v1_, 1);
}

// It may be a program that runs, which cannot be opened for writing.
TEST_F(UpdaterTest, TheWayBackToWhatRunsTouchesNoneOfItsFiles) {
  auto life = Begin();
  ExpectHealthy(Apply(*life, To(1, v1_)), v1_, 1);
  host_.on_start = [] { return Verdict(Reason::kInterrupted, "stopping"); };
  std::stop_source stop;
  sleeper_.on_sleep = [&] { stop.request_stop(); };
  life->updater.Accept(To(2, v2_));
  EXPECT_FALSE(life->updater.Run(stop.get_token()));
  host_.on_start = nullptr;
  shown_.clear();
  ExpectHealthy(Apply(*life, To(3, v1_)), v1_, 3);
  for (const v1::ModelStatus& shown : shown_) {
    EXPECT_NE(shown.phase(), v1::ModelStatus::DOWNLOADING);
    EXPECT_NE(shown.phase(), v1::ModelStatus::VERIFYING);
  }
}

}  // namespace
}  // namespace quantfleet::agent
