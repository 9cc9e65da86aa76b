#include "pipeline/artifact/verify.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/temp_dir.h"

namespace quantfleet::pipeline {
namespace {

using ::quantfleet::testing::TempDir;
using ::testing::AllOf;
using ::testing::HasSubstr;

class VerifyTest : public ::testing::Test {
 protected:
  VerifyTest() {
    manifest_.set_format_version(1);
    manifest_.mutable_source()->set_digest(HashText("s").raw());
    manifest_.mutable_target()->set_format("gguf");
    manifest_.mutable_target()->set_recipe("f32");
    Add("a/first.bin", {"hello", "world"});
    Add("second.bin", {"x"});
  }

  void Add(const std::string& path, const std::vector<std::string>& chunks) {
    v1::ArtifactFile& file = *manifest_.add_files();
    file.set_path(path);
    std::string content;
    for (const std::string& chunk : chunks) {
      v1::Chunk& c = *file.add_chunks();
      c.set_digest(HashText(chunk).raw());
      c.set_size(static_cast<uint32_t>(chunk.size()));
      content += chunk;
    }
    file.set_size(content.size());
    Write(path, content);
  }

  void Write(const std::string& path, std::string_view content) {
    fs::create_directories((dir_ / path).parent_path());
    ASSERT_TRUE(RealFileSystem().WriteAtomically(dir_ / path, AsBytes(content)).ok());
  }

  absl::Status Verify() { return VerifyFolder(RealFileSystem(), dir_.path(), manifest_); }

  TempDir dir_;
  v1::Manifest manifest_;
};

TEST_F(VerifyTest, WholeFolderIsOk) {
  std::vector<uint64_t> seen;
  const absl::Status status = VerifyFolder(RealFileSystem(), dir_.path(), manifest_,
                                           [&](uint64_t n) { seen.push_back(n); });
  EXPECT_TRUE(status.ok()) << Describe(status);
  EXPECT_EQ(seen, (std::vector<uint64_t>{5, 10, 11}));
}

TEST_F(VerifyTest, NamesTheBadChunk) {
  Write("a/first.bin", "helloWorld");
  const absl::Status status = Verify();
  EXPECT_TRUE(absl::IsDataLoss(status));
  EXPECT_THAT(Message(status),
              AllOf(HasSubstr("a/first.bin"), HasSubstr("chunk 2 of 2 at byte 5")));
}

TEST_F(VerifyTest, WrongSizeAndMissingFile) {
  Write("a/first.bin", "helloworld!");
  EXPECT_TRUE(absl::IsDataLoss(Verify()));
  Write("a/first.bin", "helloworl");
  EXPECT_TRUE(absl::IsDataLoss(Verify()));
  Write("a/first.bin", "helloworld");
  fs::remove(dir_ / "second.bin");
  const absl::Status status = Verify();
  EXPECT_TRUE(absl::IsNotFound(status));
  EXPECT_THAT(Message(status), HasSubstr("second.bin"));
}

TEST_F(VerifyTest, Stops) {
  std::stop_source stop;
  stop.request_stop();
  EXPECT_TRUE(absl::IsCancelled(
      VerifyFolder(RealFileSystem(), dir_.path(), manifest_, nullptr, stop.get_token())));
}

TEST_F(VerifyTest, ManifestFileIsReadAndNamed) {
  Write("manifest.pb", SerializeManifest(manifest_));
  const auto read = ReadManifest(RealFileSystem(), dir_ / "manifest.pb");
  ASSERT_TRUE(read.ok()) << Describe(read.status());
  EXPECT_EQ(ManifestDigest(*read), ManifestDigest(manifest_));
  Write("manifest.pb", "junk");
  EXPECT_THAT(Message(ReadManifest(RealFileSystem(), dir_ / "manifest.pb").status()),
              HasSubstr("manifest.pb"));
}

}  // namespace
}  // namespace quantfleet::pipeline
