#include "pipeline/format/safetensors/model_files.h"

#include <gtest/gtest.h>

#include "pipeline/format/registry/open_model.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_model.h"

namespace quantfleet::pipeline {
namespace {

using testing::TempDir;
using testing::WriteFile;
using testing::WriteTinyModel;

constexpr std::string_view kPointer =
    "version https://git-lfs.github.com/spec/v1\n"
    "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n";

class ModelFilesTest : public ::testing::Test {
 protected:
  absl::StatusOr<ModelFiles> Resolve() { return ResolveModel(RealFileSystem(), dir_.path()); }
  std::vector<std::string> Names() {
    std::vector<std::string> names;
    const auto model = Resolve();
    EXPECT_OK(model);
    if (!model.ok()) return names;
    for (const auto& file : model->files) names.push_back(file.name);
    return names;
  }
  TempDir dir_;
};

TEST_F(ModelFilesTest, AFolderIsWhatQuantizingReads) {
  WriteTinyModel(dir_.path(), "phi3");
  for (const char* name : {"merges.txt", "notes.txt", "README.md"}) WriteFile(dir_ / name, "x");
  fs::create_directory(dir_ / "original");
  EXPECT_EQ(Names(),
            (std::vector<std::string>{"LICENSE", "README.md", "config.json", "model.safetensors",
                                      "tokenizer.model", "tokenizer_config.json"}));
  const auto model = Resolve();
  EXPECT_EQ(model->why, "model.safetensors");
  EXPECT_TRUE(model->ignored.empty());
}

TEST_F(ModelFilesTest, OtherChatTemplatesHaveAFolder) {
  WriteTinyModel(dir_.path(), "phi3");
  fs::create_directory(dir_ / std::string(kTemplateFolder));
  for (const char* name : {"tool_use.jinja", "._tool_use.jinja", "notes.txt"})
    WriteFile(dir_ / std::string(kTemplateFolder) / name, "x");
  EXPECT_EQ(Names(), (std::vector<std::string>{
                         "LICENSE", "additional_chat_templates/tool_use.jinja", "config.json",
                         "model.safetensors", "tokenizer.model", "tokenizer_config.json"}));
  const auto source = OpenModel(RealFileSystem(), dir_.path());
  ASSERT_OK(source);
  EXPECT_EQ((*source)->description().tokenizer.named_templates,
            (std::vector<std::pair<std::string, std::string>>{{"tool_use", "x"}}));
}

TEST_F(ModelFilesTest, TwoCompleteSetsOfWeightsAreAmbiguous) {
  WriteTinyModel(dir_.path(), "phi3", {.shards = 2});
  WriteFile(dir_ / "model.safetensors", std::string(1000, '\0'));
  EXPECT_ERROR(Resolve(), kInvalidArgument, "two sets", "model.safetensors, ",
               "model.safetensors.index.json",
               "(model-00001-of-00002.safetensors and model-00002-of-00002.safetensors)");
  // Half of the shards is still something that somebody meant.
  fs::remove(dir_ / "model-00001-of-00002.safetensors");
  EXPECT_ERROR(Resolve(), kInvalidArgument, "two sets");
  fs::remove(dir_ / "model-00002-of-00002.safetensors");
  const auto model = Resolve();
  ASSERT_OK(model);
  EXPECT_EQ(model->why, "model.safetensors");
  ASSERT_EQ(model->ignored.size(), 1u);
  EXPECT_EQ(model->ignored[0],
            "model.safetensors.index.json: of the 2 shards that it names none is there");
}

TEST_F(ModelFilesTest, AnIndexMayNameTheSingleFile) {
  WriteTinyModel(dir_.path(), "phi3");
  WriteFile(dir_ / "model.safetensors.index.json", R"({"weight_map": {"a": "model.safetensors"}})");
  const auto model = Resolve();
  ASSERT_OK(model);
  EXPECT_EQ(model->why, "the 1 shard that model.safetensors.index.json names");
}

TEST_F(ModelFilesTest, ShardsWithoutAnIndexAreRefusedBeforeAnythingIsSent) {
  WriteTinyModel(dir_.path(), "phi3", {.shards = 2});
  fs::remove(dir_ / "model.safetensors.index.json");
  EXPECT_ERROR(Resolve(), kNotFound, "model.safetensors.index.json");
}

TEST_F(ModelFilesTest, OtherWeightsInTheFolderAreNamed) {
  WriteTinyModel(dir_.path(), "phi3", {.shards = 2});
  WriteFile(dir_ / "consolidated.safetensors", "x");
  WriteFile(dir_ / "pytorch_model.bin", "x");
  WriteFile(dir_ / "phi3-q4.gguf", "x");
  const auto model = Resolve();
  ASSERT_OK(model);
  EXPECT_EQ(model->why, "the 2 shards that model.safetensors.index.json names");
  EXPECT_EQ(model->ignored,
            (std::vector<std::string>{
                "consolidated.safetensors: model.safetensors.index.json does not name it",
                "pytorch_model.bin: the folder has safetensors",
                "phi3-q4.gguf: the folder has safetensors; pass the file itself to use it"}));
}

TEST_F(ModelFilesTest, WhatSystemsLeaveBehindIsNotPartOfAModel) {
  WriteTinyModel(dir_.path(), "phi3");
  const auto before = Names();
  for (const char* name : {"._config.json", "._model.safetensors", ".DS_Store", ".gitattributes"})
    WriteFile(dir_ / name, std::string("\0\5\26\7", 4));
  fs::create_directories(dir_ / ".cache" / "huggingface");
  EXPECT_EQ(Names(), before);
  EXPECT_OK(OpenModel(RealFileSystem(), dir_.path()));
}

TEST_F(ModelFilesTest, GitLfsPointersAreNamed) {
  for (const char* name : {"model.safetensors", "tokenizer.model", "config.json"}) {
    WriteTinyModel(dir_.path(), "phi3");
    WriteFile(dir_ / name, kPointer);
    EXPECT_ERROR(Resolve(), kInvalidArgument, name, "Git LFS pointer", "`git lfs");
  }
  WriteFile(dir_ / "m.gguf", kPointer);
  EXPECT_ERROR(ResolveModel(RealFileSystem(), dir_ / "m.gguf"), kInvalidArgument,
               "m.gguf is a Git LFS pointer");
}

TEST_F(ModelFilesTest, PagesAndMessagesInPlaceOfFilesAreNamed) {
  for (const char* page : {"<!DOCTYPE html>\n<html>", "\xef\xbb\xbf\n <HTML><head>",
                           "<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>"}) {
    for (const char* name : {"model.safetensors", "tokenizer_config.json"}) {
      WriteTinyModel(dir_.path(), "phi3");
      WriteFile(dir_ / name, page);
      EXPECT_ERROR(Resolve(), kInvalidArgument, name, "web page");
    }
  }
  WriteTinyModel(dir_.path(), "phi3");
  WriteFile(dir_ / "model.safetensors", "Entry not found");
  EXPECT_ERROR(Resolve(), kInvalidArgument, "\"Entry not found\"");
  WriteFile(dir_ / "model.safetensors", "");
  EXPECT_ERROR(Resolve(), kDataLoss, "model.safetensors is empty");
  // A model card may well be HTML.
  WriteTinyModel(dir_.path(), "phi3");
  WriteFile(dir_ / "README.md", "<html>");
  EXPECT_OK(Resolve());
}

TEST_F(ModelFilesTest, DanglingLinksAreNamed) {
  WriteTinyModel(dir_.path(), "phi3");
  fs::remove(dir_ / "tokenizer.model");
  fs::create_symlink("../../blobs/abc", dir_ / "tokenizer.model");
  EXPECT_ERROR(Resolve(), kNotFound, "tokenizer.model", "../../blobs/abc");
}

TEST_F(ModelFilesTest, TheHubsCacheIsAFolderOfLinks) {
  const fs::path cache = dir_ / "models--microsoft--tiny-phi", first = cache / "snapshots" / "0a1b";
  fs::create_directories(cache / "blobs");
  fs::create_directories(cache / "refs");
  fs::create_directories(first);
  WriteTinyModel(dir_ / "plain", "phi3");
  int blob = 0;
  for (const auto& entry : fs::directory_iterator(dir_ / "plain")) {
    const std::string name = std::to_string(blob++);
    fs::copy_file(entry.path(), cache / "blobs" / name);
    fs::create_symlink("../../blobs/" + name, first / entry.path().filename());
  }
  for (const fs::path& path : {cache, first}) {
    const auto model = ResolveModel(RealFileSystem(), path);
    ASSERT_OK(model);
    EXPECT_EQ(model->folder, first);
    EXPECT_EQ(model->name, "tiny-phi");
    EXPECT_EQ(model->files.size(), 5u);
    EXPECT_OK(OpenModel(RealFileSystem(), path));
  }
  fs::create_directories(cache / "snapshots" / "2c3d");
  EXPECT_ERROR(ResolveModel(RealFileSystem(), cache), kInvalidArgument,
               "contains several snapshots (0a1b and 2c3d)");
  WriteFile(cache / "refs" / "main", "0a1b\n");
  EXPECT_OK(ResolveModel(RealFileSystem(), cache));
  WriteFile(cache / "refs" / "main", "ffff");
  EXPECT_ERROR(ResolveModel(RealFileSystem(), cache), kNotFound, "ffff");
}

TEST_F(ModelFilesTest, ANameOfTheHubGetsTheCommandThatDownloadsIt) {
  EXPECT_ERROR(ResolveModel(RealFileSystem(), "microsoft/Phi-3-mini-4k-instruct"), kNotFound,
               "`hf download microsoft/Phi-3-mini-4k-instruct --local-dir Phi-3-mini-4k-instruct`");
  for (const char* path : {"./phi", "../a/b", "/a/b", "a/b/c", "a/", "phi"})
    EXPECT_FALSE(IsHubName(path)) << path;
}

TEST_F(ModelFilesTest, OneGgufIsTheModelOfItsFolder) {
  WriteFile(dir_ / "a.gguf", "GGUF\3");
  EXPECT_EQ(Names(), std::vector<std::string>{"a.gguf"});
  WriteFile(dir_ / "config.json", "{}");
  const auto model = Resolve();
  ASSERT_OK(model);
  EXPECT_TRUE(model->gguf);
  EXPECT_EQ(model->ignored.size(), 1u);
  WriteFile(dir_ / "b.gguf", "GGUF\3");
  EXPECT_ERROR(Resolve(), kInvalidArgument, "several GGUF files (a.gguf and b.gguf)");
  EXPECT_OK(ResolveModel(RealFileSystem(), dir_ / "b.gguf"));
}

TEST_F(ModelFilesTest, ASplitGgufIsAllOfItsFiles) {
  const std::vector<std::string> shards{"m-00001-of-00002.gguf", "m-00002-of-00002.gguf"};
  for (const std::string& shard : shards) WriteFile(dir_ / shard, "GGUF\3");
  EXPECT_EQ(Names(), shards);
  for (const std::string& shard : shards) {
    const auto model = ResolveModel(RealFileSystem(), dir_ / shard);
    ASSERT_OK(model);
    EXPECT_TRUE(model->gguf);
    EXPECT_EQ(model->name, "m");
    ASSERT_EQ(model->files.size(), 2u);
    EXPECT_EQ(model->files[0].name, shards[0]);
    EXPECT_EQ(model->files[1].size, 5u);
  }
  WriteFile(dir_ / "other.gguf", "GGUF\3");
  EXPECT_ERROR(Resolve(), kInvalidArgument, "several GGUF files");
  EXPECT_OK(ResolveModel(RealFileSystem(), dir_ / shards[1]));
  fs::remove(dir_ / "other.gguf");
  fs::remove(dir_ / shards[1]);
  EXPECT_ERROR(Resolve(), kNotFound, shards[1]);
  EXPECT_ERROR(ResolveModel(RealFileSystem(), dir_ / shards[0]), kNotFound, shards[1]);
}

}  // namespace
}  // namespace quantfleet::pipeline
