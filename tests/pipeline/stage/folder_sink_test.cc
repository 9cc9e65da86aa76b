#include "pipeline/stage/folder_sink.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "pipeline/artifact/verify.h"
#include "pipeline/format/registry/open_model.h"
#include "tests/pipeline/stage/stage_fixture.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/power_cuts.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_model.h"

namespace quantfleet::pipeline {
namespace {

using ::quantfleet::testing::CutPowerAtEachChange;
using ::quantfleet::testing::FaultyFileSystem;
using ::quantfleet::testing::TempDir;
using ::quantfleet::testing::WriteTinyModel;

class FolderSinkTest : public ::testing::Test {
 protected:
  void SetUp() override {
    WriteTinyModel(dir_ / "model", "phi3", {.layers = 1});
    auto source = OpenModel(RealFileSystem(), dir_ / "model");
    ASSERT_OK(source);
    source_ = std::move(*source);
    auto plan = MakePlan(*source_, {{"gguf", "f16"}, {"gguf", "q4_0"}});
    ASSERT_OK(plan);
    plan_ = std::move(*plan);
  }

  absl::Status Make(FileSystem& files, bool replace = false) {
    QF_ASSIGN_OR_RETURN(const auto sink,
                        FolderSink::Open(files, out_, plan_, {.replace = replace}));
    QF_ASSIGN_OR_RETURN(const ExecutorResult result,
                        Execute(*source_, plan_, *sink, {.threads = 2}));
    manifests_ = result.manifests;
    return sink->Finish(result.manifests);
  }
  std::vector<std::string> Names(const fs::path& folder) {
    auto names = RealFileSystem().List(folder);
    return names.ok() ? *names : std::vector<std::string>{};
  }

  TempDir dir_;
  const fs::path out_ = dir_ / "made/out";
  std::unique_ptr<ModelSource> source_;
  Plan plan_;
  std::vector<v1::Manifest> manifests_;
};

TEST_F(FolderSinkTest, WholeArtifactsWithTheirManifests) {
  ASSERT_OK(Make(RealFileSystem()));
  EXPECT_EQ(Names(out_), (std::vector<std::string>{"gguf-f16", "gguf-q4_0"}));
  for (size_t t = 0; t < 2; ++t) {
    const fs::path folder = out_ / plan_.targets[t].spec.name();
    const auto manifest = ReadManifest(RealFileSystem(), folder / "manifest.pb");
    ASSERT_OK(manifest);
    EXPECT_EQ(ManifestDigest(*manifest), ManifestDigest(manifests_[t]));
    EXPECT_OK(VerifyFolder(RealFileSystem(), folder, *manifest));
    EXPECT_EQ(Names(folder), (std::vector<std::string>{"LICENSE", "manifest.pb", "model.gguf"}));
  }
}

// Their folders have one name, and one would be lost.
TEST_F(FolderSinkTest, TargetsThatDifferOnlyInRoundingAreRefused) {
  plan_.targets[1].spec = plan_.targets[0].spec;
  plan_.targets[1].spec.rounding = Rounding::kSearch;
  EXPECT_ERROR(Make(RealFileSystem()), kInvalidArgument, "rounding");
  EXPECT_FALSE(RealFileSystem().Exists(out_));
}

TEST_F(FolderSinkTest, WhatIsThereIsReplacedOnlyWhenAsked) {
  ASSERT_OK(Make(RealFileSystem()));
  ASSERT_OK(RealFileSystem().WriteAtomically(out_ / "gguf-f16/old", AsBytes("x")));
  EXPECT_ERROR(Make(RealFileSystem()), kAlreadyExists, "--force");
  EXPECT_EQ(Names(out_), (std::vector<std::string>{"gguf-f16", "gguf-q4_0"}));
  EXPECT_TRUE(fs::exists(out_ / "gguf-f16/old"));
  ASSERT_OK(Make(RealFileSystem(), true));
  EXPECT_EQ(Names(out_), (std::vector<std::string>{"gguf-f16", "gguf-q4_0"}));
  EXPECT_FALSE(fs::exists(out_ / "gguf-f16/old"));
}

TEST_F(FolderSinkTest, AFullDiskLeavesNothing) {
  FaultyFileSystem disk({.write_budget = 40000});
  EXPECT_ERROR(Make(disk), kResourceExhausted, "No space left");
  EXPECT_FALSE(fs::exists(out_));
  // A folder that was there stays, with what it held; what an earlier run left half-done goes.
  fs::create_directories(out_ / ".gguf-f16.partial");
  ASSERT_OK(RealFileSystem().WriteAtomically(out_ / "mine", AsBytes("x")));
  disk.SetWriteBudget(40000);
  EXPECT_ERROR(Make(disk), kResourceExhausted, "No space left");
  EXPECT_EQ(Names(out_), std::vector<std::string>{"mine"});
}

TEST_F(FolderSinkTest, ASmallDiskIsRefusedBeforeAnythingIsWritten) {
  plan_.targets[0].layout.files[0].size = uint64_t{1} << 60;
  EXPECT_ERROR(Make(RealFileSystem()), kResourceExhausted, "the disk has");
  EXPECT_FALSE(fs::exists(out_));
}

TEST_F(FolderSinkTest, OneWriterPerFolder) {
  const auto first = FolderSink::Open(RealFileSystem(), out_, plan_, {});
  ASSERT_OK(first);
  EXPECT_ERROR(FolderSink::Open(RealFileSystem(), out_, plan_, {.replace = true}),
               kFailedPrecondition, "another process");
  EXPECT_EQ(Names(out_), (std::vector<std::string>{".gguf-f16.partial", ".gguf-q4_0.partial",
                                                   ".quantize.journal"}));
}

// Stops after `slabs` slabs, as Ctrl-C does, and keeps what is done.
class FolderResumeTest : public FolderSinkTest {
 protected:
  void StopAfter(uint64_t slabs) {
    auto sink = FolderSink::Open(RealFileSystem(), out_, plan_, {.fingerprint = "source"});
    ASSERT_OK(sink);
    std::stop_source stop;
    const auto result = Execute(*source_, plan_, **sink,
                                {.threads = 1,
                                 .journal = &(*sink)->journal(),
                                 .on_progress =
                                     [&](const Progress& p) {
                                       if (p.slabs_done == slabs) stop.request_stop();
                                     },
                                 .stop = stop.get_token()});
    ASSERT_EQ(result.status().code(), absl::StatusCode::kCancelled);
    (*sink)->Keep();
  }

  absl::StatusOr<Progress> Resume(FolderOptions options) {
    QF_ASSIGN_OR_RETURN(const auto sink,
                        FolderSink::Open(RealFileSystem(), out_, plan_, std::move(options)));
    QF_ASSIGN_OR_RETURN(
        const ExecutorResult result,
        Execute(*source_, plan_, *sink, {.threads = 2, .journal = &sink->journal()}));
    manifests_ = result.manifests;
    QF_RETURN_IF_ERROR(sink->Finish(result.manifests));
    return result.progress;
  }

  void ExpectWhole() {
    EXPECT_EQ(Names(out_), (std::vector<std::string>{"gguf-f16", "gguf-q4_0"}));
    for (size_t t = 0; t < 2; ++t)
      EXPECT_OK(VerifyFolder(RealFileSystem(), out_ / plan_.targets[t].spec.name(), manifests_[t]));
  }
};

TEST_F(FolderResumeTest, GoesOnFromRecordedSlabs) {
  StopAfter(3);
  const auto progress = Resume({.resume = true, .fingerprint = "source"});
  ASSERT_OK(progress);
  EXPECT_EQ(progress->slabs_resumed, 3u);
  const std::vector<v1::Manifest> resumed = manifests_;
  ExpectWhole();
  ASSERT_OK(Make(RealFileSystem(), true));
  for (size_t t = 0; t < 2; ++t)
    EXPECT_EQ(ManifestDigest(resumed[t]), ManifestDigest(manifests_[t]));
}

TEST_F(FolderResumeTest, WithoutBeingAskedToBeginsAnew) {
  StopAfter(3);
  const auto progress = Resume({.fingerprint = "source"});
  ASSERT_OK(progress);
  EXPECT_EQ(progress->slabs_resumed, 0u);
  ExpectWhole();
}

TEST_F(FolderResumeTest, AnotherSourceBeginsAnew) {
  StopAfter(3);
  const auto progress = Resume({.resume = true, .fingerprint = "the source has changed"});
  ASSERT_OK(progress);
  EXPECT_EQ(progress->slabs_resumed, 0u);
  ExpectWhole();
}

TEST_F(FolderResumeTest, NothingToResumeBeginsAnew) {
  const auto progress = Resume({.resume = true, .fingerprint = "source"});
  ASSERT_OK(progress);
  EXPECT_EQ(progress->slabs_resumed, 0u);
  ExpectWhole();
}

TEST_F(FolderResumeTest, ADamagedChunkIsMadeAgain) {
  StopAfter(3);
  const PlannedChunk* first = nullptr;
  for (const PlannedChunk& chunk : plan_.targets[0].chunks) {
    if (chunk.piece == static_cast<int32_t>(plan_.slabs[0].piece) && first == nullptr)
      first = &chunk;
  }
  ASSERT_NE(first, nullptr);
  auto file = RealFileSystem().Open(out_ / ".gguf-f16.partial/model.gguf", OpenMode::kUpdate);
  ASSERT_OK(file);
  ASSERT_OK((*file)->WriteAt(first->offset, Bytes(2, std::byte{0x5a})));
  const auto progress = Resume({.resume = true, .fingerprint = "source"});
  ASSERT_OK(progress);
  EXPECT_EQ(progress->slabs_resumed, 2u);
  ExpectWhole();
}

TEST_F(FolderResumeTest, AJournalCutAnywhereLosesItsLastSlabAtMost) {
  StopAfter(3);
  const fs::path journal = out_ / ".quantize.journal";
  const auto whole = RealFileSystem().ReadAll(journal);
  ASSERT_OK(whole);
  uint64_t last = 0;
  for (size_t size = 0; size <= whole->size(); ++size) {
    ASSERT_OK(RealFileSystem().WriteAtomically(journal, AsBytes(whole->substr(0, size))));
    auto sink =
        FolderSink::Open(RealFileSystem(), out_, plan_, {.resume = true, .fingerprint = "source"});
    ASSERT_OK(sink);
    const uint64_t loaded = (*sink)->journal().loaded();
    EXPECT_LE(last, loaded);
    last = loaded;
    (*sink)->Keep();
    // Without a record the partial folders go: they are made anew, which this test does not need.
  }
  EXPECT_EQ(last, 3u);
}

TEST_F(FolderResumeTest, KilledWhileTheFoldersWereShown) {
  StopAfter(3);
  ASSERT_OK(RealFileSystem().Rename(out_ / ".gguf-f16.partial", out_ / "gguf-f16"));
  const auto progress = Resume({.resume = true, .fingerprint = "source"});
  ASSERT_OK(progress);
  EXPECT_EQ(progress->slabs_resumed, 3u);
  ExpectWhole();
}

// A folder that shows under its name is whole, with its manifest, and a run that goes on makes the
// same bytes, wherever the power went. `replaced`: other artifacts were there.
class FolderPowerCutTest : public FolderSinkTest,
                           public ::testing::WithParamInterface<bool /*replaced*/> {
 protected:
  absl::Status Run(FileSystem& files, const fs::path& out, std::vector<v1::Manifest>& made) {
    QF_ASSIGN_OR_RETURN(
        const auto sink,
        FolderSink::Open(files, out, plan_,
                         {.replace = GetParam(), .resume = true, .fingerprint = "source"}));
    const auto result =
        Execute(*source_, plan_, *sink, {.threads = 1, .journal = &sink->journal()});
    sink->Keep();
    QF_RETURN_IF_ERROR(result.status());
    made = result->manifests;
    return sink->Finish(result->manifests);
  }
};

TEST_P(FolderPowerCutTest, FoldersAreWholeAndARunGoesOn) {
  std::vector<v1::Manifest> want, made;
  ASSERT_OK(Run(RealFileSystem(), out_, want));
  const auto changes = CutPowerAtEachChange({
      .prepare =
          [&](const fs::path& root) {
            if (!GetParam()) return;
            for (const TargetPlan& target : plan_.targets) {
              fs::create_directories(root / "out" / target.spec.name());
              ASSERT_OK(RealFileSystem().WriteAtomically(root / "out" / target.spec.name() / "old",
                                                         AsBytes("old")));
            }
          },
      .act = [&](FileSystem& files,
                 const fs::path& root) { std::ignore = Run(files, root / "out", made); },
      .check =
          [&](FileSystem& files, const fs::path& root, bool done) {
            const fs::path out = root / "out";
            for (size_t t = 0; t < plan_.targets.size(); ++t) {
              const fs::path folder = out / plan_.targets[t].spec.name();
              const bool old = files.Exists(folder / "old");
              EXPECT_TRUE(!done || (files.Exists(folder) && !old));
              if (files.Exists(folder) && !old) {
                EXPECT_OK(VerifyFolder(files, folder, want[t]));
                EXPECT_EQ(ManifestDigest(ReadManifest(files, folder / "manifest.pb").value()),
                          ManifestDigest(want[t]));
              }
            }
            // All was shown when the power went: nothing is left to go on with.
            const bool all = std::ranges::all_of(plan_.targets, [&](const TargetPlan& target) {
              return files.Exists(out / target.spec.name());
            });
            if (all && !files.Exists(out / ".quantize.journal") && !GetParam()) return;
            ASSERT_OK(Run(files, out, made));
            for (size_t t = 0; t < plan_.targets.size(); ++t) {
              EXPECT_OK(VerifyFolder(files, out / plan_.targets[t].spec.name(), want[t]));
              EXPECT_EQ(ManifestDigest(made[t]), ManifestDigest(want[t]));
            }
            EXPECT_EQ(*files.List(out), (std::vector<std::string>{"gguf-f16", "gguf-q4_0"}));
          },
      .step = ::quantfleet::testing::Thorough() ? 1 : 7,
  });
  EXPECT_GT(changes, 30);
}

INSTANTIATE_TEST_SUITE_P(IntoAnEmptyFolderAndAnother, FolderPowerCutTest, ::testing::Bool());

}  // namespace
}  // namespace quantfleet::pipeline
