#include "agent/self/self_host.h"

#include <gmock/gmock.h>

#include <fstream>
#include <thread>

#include "pipeline/artifact/manifest.h"
#include "pipeline/artifact/program/agent_release.h"
#include "tests/agent/update/fake_host.h"
#include "tests/agent/verdict_matchers.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace quantfleet::agent {
namespace {

const std::string kAgent(pipeline::kAgentModel);

class SelfHostTest : public ::testing::Test {
 protected:
  // A release in a slot, every byte checked.
  Installed Put(Slot slot, const std::string& version) {
    v1::Manifest manifest;
    manifest.set_format_version(1);
    manifest.mutable_source()->set_digest(HashText(version).raw());
    manifest.mutable_source()->set_architecture(pipeline::AgentSource(version));
    manifest.mutable_target()->set_format(std::string(pipeline::kAgentFormat));
    manifest.mutable_target()->set_recipe("x86_64");
    manifest.mutable_requirements();
    v1::ArtifactFile& file = *manifest.add_files();
    file.set_path(std::string(pipeline::kAgentFile));
    file.set_size(version.size());
    file.add_chunks()->set_digest(HashText(version).raw());
    file.mutable_chunks(0)->set_size(static_cast<uint32_t>(version.size()));
    EXPECT_OK(slots_.Begin(slot, pipeline::SerializeManifest(manifest)));
    std::ofstream(slots_.FilesOf(slot) / pipeline::kAgentFile) << version;
    EXPECT_OK(slots_.MarkVerified(slot, pipeline::ManifestDigest(manifest)));
    return {slots_.FilesOf(slot), manifest, std::nullopt};
  }
  static Digest Of(const Installed& installed) {
    return pipeline::ManifestDigest(installed.manifest);
  }
  fs::path ProgramIn(Slot slot) {
    return fs::canonical(slots_.FilesOf(slot) / pipeline::kAgentFile);
  }

  std::unique_ptr<SelfHost> Host(const fs::path& self, const std::string& version = "1.0.0") {
    return std::make_unique<SelfHost>(SelfHost::Options{dir_.path(), self, version},
                                      SelfHost::World{RealFileSystem(), others_,
                                                      [this](const fs::path& program, const Digest&,
                                                             const std::string&, std::stop_token) {
                                                        tried_ = program;
                                                        return trial_;
                                                      },
                                                      [this] { stop_.request_stop(); }});
  }
  Tried<Health> Start(SelfHost& host, const Installed& installed) {
    return host.Start(kAgent, installed, {}, stop_.get_token());
  }
  LaunchRecord Record() { return *LoadLaunchRecord(RealFileSystem(), folder_); }

  const testing::TempDir dir_;
  const fs::path folder_ = SelfFolder(dir_.path()), installed_ = "/usr/bin/quantfleet-agent";
  Slots slots_{RealFileSystem(), folder_};
  FakeHost others_;
  Verdict trial_;
  fs::path tried_;
  std::stop_source
      stop_;  // of this process; asked for by the host where it wants to become another
};

TEST_F(SelfHostTest, AProgramThatPassesItsTrialIsRecordedAndTheProcessAskedToEnd) {
  const Installed two = Put(Slot::kA, "2.0.0");
  const auto host = Host(installed_);
  EXPECT_SETBACK(Start(*host, two), kInterrupted, "");
  EXPECT_EQ(tried_, ProgramIn(Slot::kA));
  EXPECT_TRUE(host->restarts());
  EXPECT_EQ(Record(), (LaunchRecord{.program = Of(two), .installed = installed_}));
  EXPECT_NE(fs::status(tried_).permissions() & fs::perms::owner_exec, fs::perms::none);
}

TEST_F(SelfHostTest, AProgramThatFailsItsTrialChangesNothing) {
  const Installed two = Put(Slot::kA, "2.0.0");
  trial_ = Verdict(Reason::kHealthFailed, "its trial ended with signal 11");
  const auto host = Host(installed_);
  EXPECT_SETBACK(Start(*host, two), kHealthFailed, "signal 11");
  EXPECT_FALSE(host->restarts());
  EXPECT_EQ(Record(), LaunchRecord{});
}

TEST_F(SelfHostTest, TheNewProgramCountsOnceTheDaemonHasAnswered) {
  const Installed two = Put(Slot::kB, "2.0.0");
  ASSERT_OK(SaveLaunchRecord(RealFileSystem(), folder_,
                             {.program = Of(two), .attempts = 2, .installed = installed_}));
  const auto host = Host(ProgramIn(Slot::kB), "2.0.0");
  EXPECT_EQ(host->slot(), "b");
  std::jthread daemon([&] { host->CheckedIn(); });
  EXPECT_CAME_OFF(Start(*host, two));
  EXPECT_EQ(Record(), (LaunchRecord{.program = Of(two), .proven = true, .installed = installed_}));
  EXPECT_TRUE(tried_.empty());
  // From then on it is healthy without being asked anything.
  EXPECT_CAME_OFF(Start(*Host(ProgramIn(Slot::kB), "2.0.0"), two));
}

TEST_F(SelfHostTest, AStartThatCameFarIsNotHeldAgainstAProvenRelease) {
  const Installed two = Put(Slot::kB, "2.0.0");
  const LaunchRecord started{
      .program = Of(two), .proven = true, .attempts = 2, .installed = installed_};
  ASSERT_OK(SaveLaunchRecord(RealFileSystem(), folder_, started));
  Host(installed_)->Lives();  // another program than the release
  EXPECT_EQ(Record().attempts, 2u);
  Host(ProgramIn(Slot::kB), "2.0.0")->Lives();
  EXPECT_EQ(Record().attempts, 0u);
  // One that is not proven has to hear the daemon.
  LaunchRecord open = started;
  open.proven = false;
  ASSERT_OK(SaveLaunchRecord(RealFileSystem(), folder_, open));
  Host(ProgramIn(Slot::kB), "2.0.0")->Lives();
  EXPECT_EQ(Record().attempts, 2u);
}

TEST_F(SelfHostTest, AProgramWithFlippedTextIsNotFoundToBeStarted) {
  const Installed two = Put(Slot::kB, "2.0.0");
  ASSERT_TRUE(FindProgram(RealFileSystem(), slots_, Of(two)));
  std::fstream(slots_.FilesOf(Slot::kB) / pipeline::kAgentFile).put('3');
  EXPECT_FALSE(FindProgram(RealFileSystem(), slots_, Of(two)));
}

TEST_F(SelfHostTest, UntilThenStoppingSaysNothingAboutIt) {
  const Installed two = Put(Slot::kB, "2.0.0");
  ASSERT_OK(SaveLaunchRecord(RealFileSystem(), folder_,
                             {.program = Of(two), .attempts = 1, .installed = installed_}));
  stop_.request_stop();
  EXPECT_SETBACK(Start(*Host(ProgramIn(Slot::kB), "2.0.0"), two), kInterrupted, "");
  EXPECT_EQ(Record().attempts, 1u);
}

TEST_F(SelfHostTest, WhatWasGivenUpIsSaidOnceAndMayBeTriedAgain) {
  const Installed two = Put(Slot::kA, "2.0.0");
  ASSERT_OK(
      SaveLaunchRecord(RealFileSystem(), folder_, {.given_up = Of(two), .installed = installed_}));
  const auto host = Host(installed_);
  EXPECT_SETBACK(Start(*host, two), kHealthFailed, "2.0.0");
  EXPECT_TRUE(tried_.empty());
  EXPECT_SETBACK(Start(*host, two), kInterrupted, "");  // a new release of it
  EXPECT_EQ(tried_, ProgramIn(Slot::kA));
}

TEST_F(SelfHostTest, AnOlderReleaseThanTheInstalledProgramIsRefused) {
  const Installed two = Put(Slot::kA, "2.0.0");
  EXPECT_SETBACK(Start(*Host(installed_, "2.0.1"), two), kHealthFailed, "2.0.1", "2.0.0");
  EXPECT_SETBACK(Start(*Host(installed_, "2.0.0"), two), kInterrupted, "");
}

TEST_F(SelfHostTest, TheProvenReleaseIsRememberedAsTheWayBack) {
  const Installed one = Put(Slot::kA, "1.0.0"), two = Put(Slot::kB, "2.0.0");
  ASSERT_OK(SaveLaunchRecord(RealFileSystem(), folder_,
                             {.program = Of(one), .proven = true, .installed = installed_}));
  EXPECT_SETBACK(Start(*Host(ProgramIn(Slot::kA)), two), kInterrupted, "");
  EXPECT_EQ(Record(),
            (LaunchRecord{.program = Of(two), .previous = Of(one), .installed = installed_}));
}

// Else giving it up would lead to it again.
TEST_F(SelfHostTest, AReleaseIsNoWayBackFromItself) {
  const Installed two = Put(Slot::kA, "2.0.0");
  ASSERT_OK(SaveLaunchRecord(RealFileSystem(), folder_,
                             {.program = Of(two), .proven = true, .installed = installed_}));
  EXPECT_SETBACK(Start(*Host(installed_), two), kInterrupted, "");
  EXPECT_EQ(Record(), (LaunchRecord{.program = Of(two), .installed = installed_}));
}

// The path alone would have taken the running process for what came into its slot.
TEST_F(SelfHostTest, AReleaseThatTookThisProcesssSlotIsAnother) {
  Put(Slot::kA, "1.0.0");
  const auto host = Host(ProgramIn(Slot::kA));
  const Installed three = Put(Slot::kA, "3.0.0");
  EXPECT_SETBACK(Start(*host, three), kInterrupted, "");
  EXPECT_EQ(tried_, ProgramIn(Slot::kA));
}

TEST_F(SelfHostTest, StoppingBringsTheInstalledProgramBack) {
  const Installed two = Put(Slot::kA, "2.0.0");
  ASSERT_OK(SaveLaunchRecord(RealFileSystem(), folder_,
                             {.program = Of(two), .proven = true, .installed = installed_}));
  const auto installed = Host(installed_);
  installed->Stop(kAgent);
  EXPECT_FALSE(installed->restarts());
  EXPECT_EQ(Record(), LaunchRecord{.installed = installed_});
  ASSERT_OK(SaveLaunchRecord(RealFileSystem(), folder_,
                             {.program = Of(two), .proven = true, .installed = installed_}));
  const auto release = Host(ProgramIn(Slot::kA), "2.0.0");
  release->Stop(kAgent);
  EXPECT_TRUE(release->restarts());
}

TEST_F(SelfHostTest, NoOtherFormatIsTakenForTheAgent) {
  Installed model = Put(Slot::kA, "2.0.0");
  model.manifest.mutable_target()->set_format("gguf");
  EXPECT_SETBACK(Start(*Host(installed_), model), kHealthFailed, "quantfleet-agent");
}

TEST_F(SelfHostTest, OtherModelsArePassedOn) {
  const auto host = Host(installed_);
  const Installed model = Put(Slot::kA, "weights");
  EXPECT_CAME_OFF(host->Start("demo", model, {}, {}));
  EXPECT_EQ(others_.running, (std::map<std::string, std::string>{{"demo", "weights"}}));
  EXPECT_EQ(host->endpoint("demo"), others_.endpoint("demo"));
  EXPECT_EQ(host->endpoint(kAgent), "");
  others_.memory = 42;
  EXPECT_EQ(host->MemoryFor("demo"), 42u);
  others_.condition = Verdict(Reason::kHealthFailed, "others");
  EXPECT_SETBACK(host->Condition("demo"), kHealthFailed, "others");
  EXPECT_CAME_OFF(host->Condition(kAgent));
  host->Stop("demo");
  EXPECT_TRUE(others_.running.empty());
}

}  // namespace
}  // namespace quantfleet::agent
