#include "cli/compared_model.h"

#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_model.h"

namespace quantfleet::cli {
namespace {

class ComparedModelTest : public ::testing::Test {
 protected:
  absl::StatusOr<ComparedModel> Open(const std::string& name,
                                     const testing::TinyModelOptions& options) {
    testing::WriteTinyModel(dir_ / name, "llama", options);
    return OpenCompared(RealFileSystem(), dir_ / name, {});
  }
  testing::TempDir dir_;
};

TEST_F(ComparedModelTest, AFolderIsCopiedForTheEngine) {
  auto model = Open("a", {.layers = 1});
  ASSERT_OK(model);
  EXPECT_EQ(model->target, "safetensors");
  EXPECT_GT(model->bytes, fs::file_size(dir_ / "a/model.safetensors"));
  EXPECT_FALSE(model->own);
  ASSERT_OK(MakeRunnable(RealFileSystem(), *model, {}, dir_ / "scratch", {.threads = 1}));
  EXPECT_TRUE(fs::exists(model->gguf));

  auto gguf = OpenCompared(RealFileSystem(), model->gguf, {});
  ASSERT_OK(gguf);
  EXPECT_TRUE(gguf->own);
  EXPECT_EQ(gguf->gguf, model->gguf);
  EXPECT_OK(CheckSameVocabulary(*model, *gguf));
}

TEST_F(ComparedModelTest, AnotherVocabularyIsRefused) {
  const auto a = Open("a", {.layers = 1});
  ASSERT_OK(a);
  ComparedModel other{.path = "other", .target = "gguf"};
  EXPECT_OK(CheckSameVocabulary(*a, other)) << "what has no source is judged by its shapes";
  const auto larger = Open("larger", {.layers = 1, .vocab = 340});
  ASSERT_OK(larger);
  EXPECT_ERROR(CheckSameVocabulary(*a, *larger), kInvalidArgument, "320", "340");
  // As many tokens, but others.
  const auto others = Open("others", {.layers = 1, .added = {"<|x|>"}});
  ASSERT_OK(others);
  EXPECT_ERROR(CheckSameVocabulary(*a, *others), kInvalidArgument, "<|x|>");
}

TEST_F(ComparedModelTest, WhatDoesNotSayWhatItWasMadeOfNeedsAReference) {
  ComparedModel artifact{.path = "onnx-int4", .target = "onnx:int4"};
  artifact.manifest.emplace();
  EXPECT_ERROR(MakeRunnable(RealFileSystem(), artifact, {}, dir_ / "scratch", {.threads = 1}),
               kFailedPrecondition, "--reference");
}

}  // namespace
}  // namespace quantfleet::cli
