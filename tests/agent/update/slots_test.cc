#include "agent/update/slots.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/agent/update/fleet_fixture.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/power_cuts.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace quantfleet::agent {
namespace {

class SlotsTest : public FleetFixture {
 protected:
  testing::FaultyFileSystem files_;
  testing::TempDir dir_;
  Slots slots_{files_, dir_.path()};
  FakeArtifact first_ = MakeArtifact({1}), second_ = MakeArtifact({2});

  absl::Status Begin(Slot slot, const FakeArtifact& artifact) {
    return slots_.Begin(slot, pipeline::SerializeManifest(artifact.manifest));
  }
};

TEST_F(SlotsTest, SwitchesBackAndForth) {
  EXPECT_FALSE(slots_.Current());
  ASSERT_TRUE(Begin(Slot::kA, first_).ok());
  ASSERT_TRUE(slots_.Switch(Slot::kA).ok());
  EXPECT_EQ(slots_.Current(), Slot::kA);
  EXPECT_EQ(slots_.Idle(), Slot::kB);
  ASSERT_TRUE(Begin(Slot::kB, second_).ok());
  ASSERT_TRUE(slots_.Switch(Slot::kB).ok());
  EXPECT_EQ(slots_.Current(), Slot::kB);
  EXPECT_EQ(slots_.Begun(Slot::kA), first_.digest) << "the previous version is kept";
  EXPECT_TRUE(fs::is_symlink(dir_ / "current"));
}

TEST_F(SlotsTest, EvaluationsStayBesideTheirArtifactAlone) {
  ASSERT_TRUE(Begin(Slot::kA, first_).ok());
  EXPECT_EQ(slots_.EvaluationsOf(Slot::kA).evaluations_size(), 0);
  v1::Evaluations evaluations;
  evaluations.add_evaluations()->set_mean_nll(1.5);
  evaluations.add_evaluations()->set_mean_nll(2.5);
  ASSERT_TRUE(slots_.KeepEvaluations(Slot::kA, evaluations).ok());
  ASSERT_EQ(slots_.EvaluationsOf(Slot::kA).evaluations_size(), 2);
  EXPECT_EQ(slots_.EvaluationsOf(Slot::kA).evaluations(1).mean_nll(), 2.5);
  ASSERT_TRUE(slots_.KeepEvaluations(Slot::kA, {}).ok());
  EXPECT_EQ(slots_.EvaluationsOf(Slot::kA).evaluations_size(), 0);
  ASSERT_TRUE(slots_.KeepEvaluations(Slot::kA, evaluations).ok());
  ASSERT_TRUE(Begin(Slot::kA, second_).ok());
  EXPECT_EQ(slots_.EvaluationsOf(Slot::kA).evaluations_size(), 0) << "another artifact's";
}

TEST_F(SlotsTest, TheContextStaysBesideItsArtifactAlone) {
  ASSERT_TRUE(Begin(Slot::kA, first_).ok());
  EXPECT_EQ(slots_.ContextOf(Slot::kA)->tokens(), 0u);
  v1::ContextPolicy context;
  context.set_tokens(2048);
  ASSERT_TRUE(slots_.KeepContext(Slot::kA, context).ok());
  EXPECT_EQ(slots_.ContextOf(Slot::kA)->tokens(), 2048u);
  ASSERT_TRUE(Begin(Slot::kA, second_).ok());
  EXPECT_EQ(slots_.ContextOf(Slot::kA)->tokens(), 0u);
}

TEST_F(SlotsTest, TheRuntimeStaysBesideItsArtifactAlone) {
  ASSERT_TRUE(Begin(Slot::kA, first_).ok());
  EXPECT_EQ(slots_.RuntimeOf(Slot::kA).status().code(), absl::StatusCode::kNotFound);
  v1::Runtime runtime;
  runtime.set_command("server");
  ASSERT_TRUE(slots_.KeepRuntime(Slot::kA, runtime).ok());
  EXPECT_EQ((*slots_.RuntimeOf(Slot::kA))->command(), "server");
  ASSERT_TRUE(slots_.KeepRuntime(Slot::kA, std::nullopt).ok());
  ASSERT_TRUE(slots_.RuntimeOf(Slot::kA).ok());
  EXPECT_FALSE(*slots_.RuntimeOf(Slot::kA));
  ASSERT_TRUE(Begin(Slot::kA, second_).ok());
  EXPECT_FALSE(slots_.RuntimeOf(Slot::kA).ok()) << "another artifact's";
}

// A power cut between the temporary link and its renaming leaves the link behind.
TEST_F(SlotsTest, LeftoverOfASwitchIsNoObstacle) {
  fs::create_directory_symlink("slots/b", dir_ / "current.tmp");
  ASSERT_TRUE(Begin(Slot::kA, first_).ok());
  EXPECT_FALSE(slots_.Current());
  ASSERT_TRUE(slots_.Switch(Slot::kA).ok());
  EXPECT_EQ(slots_.Current(), Slot::kA);
}

TEST_F(SlotsTest, BeginKeepsTheSameArtifactAndClearsAnother) {
  ASSERT_TRUE(Begin(Slot::kA, first_).ok());
  std::ofstream(slots_.FilesOf(Slot::kA) / "model.gguf") << "partly here";
  ASSERT_TRUE(Begin(Slot::kA, first_).ok());
  EXPECT_TRUE(fs::exists(slots_.FilesOf(Slot::kA) / "model.gguf"));
  ASSERT_TRUE(Begin(Slot::kA, second_).ok());
  EXPECT_FALSE(fs::exists(slots_.FilesOf(Slot::kA) / "model.gguf"));
  EXPECT_EQ(slots_.Begun(Slot::kA), second_.digest);
}

TEST_F(SlotsTest, VerifiedOnlyForWhatStandsThere) {
  ASSERT_TRUE(Begin(Slot::kA, first_).ok());
  EXPECT_FALSE(slots_.Verified(Slot::kA));
  ASSERT_TRUE(slots_.MarkVerified(Slot::kA, first_.digest).ok());
  EXPECT_EQ(slots_.Verified(Slot::kA), first_.digest);
  ASSERT_TRUE(slots_.MarkVerified(Slot::kA, second_.digest).ok());
  EXPECT_FALSE(slots_.Verified(Slot::kA)) << "a mark of another artifact says nothing";
  ASSERT_TRUE(slots_.MarkVerified(Slot::kA, first_.digest).ok());
  ASSERT_TRUE(Begin(Slot::kA, first_).ok());
  EXPECT_FALSE(slots_.Verified(Slot::kA)) << "what is written to is not verified any more";
}

TEST_F(SlotsTest, RemoveAllLeavesNothing) {
  ASSERT_TRUE(Begin(Slot::kA, first_).ok());
  ASSERT_TRUE(slots_.Switch(Slot::kA).ok());
  ASSERT_TRUE(slots_.RemoveAll().ok());
  EXPECT_FALSE(slots_.Current());
  EXPECT_FALSE(slots_.Begun(Slot::kA));
}

// From one version to the next: what is current is whole, and a mark stands beside what it is of.
TEST_F(SlotsTest, APowerCutNeverLeadsToAHalfSlot) {
  const auto put = [](FileSystem& files, Slots& slots, Slot slot,
                      const FakeArtifact& artifact) -> absl::Status {
    QF_RETURN_IF_ERROR(slots.Begin(slot, pipeline::SerializeManifest(artifact.manifest)));
    QF_RETURN_IF_ERROR(
        files.WriteAtomically(slots.FilesOf(slot) / "model.gguf", AsBytes(artifact.content)));
    QF_RETURN_IF_ERROR(slots.MarkVerified(slot, artifact.digest));
    return slots.Switch(slot);
  };
  const FakeArtifact third = MakeArtifact({3});
  const auto changes = testing::CutPowerAtEachChange({
      .prepare =
          [&](const fs::path& root) {
            Slots slots(files_, root);
            ASSERT_OK(put(files_, slots, Slot::kA, first_));
            ASSERT_OK(put(files_, slots, Slot::kB, second_));
          },
      .act =
          [&](FileSystem& files, const fs::path& root) {
            Slots slots(files, root);
            std::ignore = put(files, slots, Slot::kA, third);
          },
      .check =
          [&](FileSystem& files, const fs::path& root, bool done) {
            Slots slots(files, root);
            ASSERT_TRUE(slots.Current());
            if (done) {
              EXPECT_EQ(slots.Current(), Slot::kA);
            }
            const FakeArtifact& now = slots.Current() == Slot::kA ? third : second_;
            EXPECT_EQ(slots.Verified(*slots.Current()), now.digest);
            for (const Slot slot : {Slot::kA, Slot::kB}) {
              const auto verified = slots.Verified(slot);
              if (!verified) continue;
              EXPECT_EQ(*files.ReadAll(slots.FilesOf(slot) / "model.gguf"),
                        artifacts_.at(*verified).content);
            }
            ASSERT_OK(put(files, slots, Slot::kA, third));
            EXPECT_EQ(slots.Current(), Slot::kA);
          },
  });
  EXPECT_GT(changes, 20);
}

TEST_F(SlotsTest, APowerCutWhileAModelIsRemovedRemovesItOrNot) {
  testing::CutPowerAtEachChange({
      .prepare =
          [&](const fs::path& root) {
            Slots slots(files_, root);
            ASSERT_OK(slots.Begin(Slot::kA, pipeline::SerializeManifest(first_.manifest)));
            ASSERT_OK(slots.Switch(Slot::kA));
          },
      .act = [](FileSystem& files,
                const fs::path& root) { std::ignore = Slots(files, root).RemoveAll(); },
      .check =
          [&](FileSystem& files, const fs::path& root, bool done) {
            Slots slots(files, root);
            EXPECT_FALSE(done && slots.Current());
            if (slots.Current()) {
              EXPECT_EQ(slots.Begun(Slot::kA), first_.digest);
            }
            ASSERT_OK(slots.RemoveAll());
            EXPECT_FALSE(slots.Begun(Slot::kA));
          },
  });
}

}  // namespace
}  // namespace quantfleet::agent
