#include "pipeline/stage/folder_sink.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pipeline/artifact/verify.h"
#include "pipeline/format/open_model.h"
#include "tests/pipeline/stage/stage_fixture.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_model.h"

namespace quantfleet::pipeline {
namespace {

using ::quantfleet::testing::FaultyFileSystem;
using ::quantfleet::testing::TempDir;
using ::quantfleet::testing::WriteTinyModel;

class FolderSinkTest : public ::testing::Test {
 protected:
  void SetUp() override {
    WriteTinyModel(dir_ / "model", Architecture::kPhi3, {.layers = 1});
    auto source = OpenModel(RealFileSystem(), dir_ / "model");
    ASSERT_OK(source);
    source_ = std::move(*source);
    auto plan = MakePlan(*source_, {{"gguf", "f16"}, {"gguf", "q4_0"}});
    ASSERT_OK(plan);
    plan_ = std::move(*plan);
  }

  absl::Status Make(FileSystem& files, bool replace = false) {
    QF_ASSIGN_OR_RETURN(const auto sink, FolderSink::Open(files, out_, plan_, replace));
    QF_ASSIGN_OR_RETURN(const ExecutorResult result, Execute(*source_, plan_, *sink, {.threads = 2}));
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
  FaultyFileSystem disk(40000);
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
  const auto first = FolderSink::Open(RealFileSystem(), out_, plan_, false);
  ASSERT_OK(first);
  EXPECT_ERROR(FolderSink::Open(RealFileSystem(), out_, plan_, true), kFailedPrecondition, "another process");
  EXPECT_EQ(Names(out_), (std::vector<std::string>{".gguf-f16.partial", ".gguf-q4_0.partial"}));
}

}  // namespace
}  // namespace quantfleet::pipeline
