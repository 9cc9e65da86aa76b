#include "agent/update/slots.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/agent/dying_file_system.h"
#include "tests/agent/update/fleet_fixture.h"
#include "tests/support/temp_dir.h"

namespace quantfleet::agent {
namespace {

class SlotsTest : public FleetFixture {
 protected:
  testing::DyingFileSystem files_;
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

TEST_F(SlotsTest, TheEvaluationStaysBesideItsArtifactAlone) {
  ASSERT_TRUE(Begin(Slot::kA, first_).ok());
  EXPECT_FALSE(slots_.EvaluationOf(Slot::kA));
  v1::EvaluationStatement evaluation;
  evaluation.set_mean_nll(1.5);
  ASSERT_TRUE(slots_.KeepEvaluation(Slot::kA, evaluation).ok());
  ASSERT_TRUE(slots_.EvaluationOf(Slot::kA));
  EXPECT_EQ(slots_.EvaluationOf(Slot::kA)->mean_nll(), 1.5);
  ASSERT_TRUE(slots_.KeepEvaluation(Slot::kA, std::nullopt).ok());
  EXPECT_FALSE(slots_.EvaluationOf(Slot::kA));
  ASSERT_TRUE(slots_.KeepEvaluation(Slot::kA, evaluation).ok());
  ASSERT_TRUE(Begin(Slot::kA, second_).ok());
  EXPECT_FALSE(slots_.EvaluationOf(Slot::kA)) << "another artifact's";
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

}  // namespace
}  // namespace quantfleet::agent
