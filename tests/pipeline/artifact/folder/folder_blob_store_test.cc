#include "pipeline/artifact/folder/folder_blob_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "tests/support/blob_store_contract.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/noise.h"
#include "tests/support/power_cuts.h"
#include "tests/support/temp_dir.h"

namespace quantfleet::testing {
namespace {

INSTANTIATE_TEST_SUITE_P(Folder, BlobStoreContract, ::testing::Values([] {
                           static std::unique_ptr<TempDir> dir;
                           dir = std::make_unique<TempDir>();  // of the test before: gone
                           return std::make_unique<pipeline::FolderBlobStore>(
                               RealFileSystem(), dir->path() / "blobs");
                         }));

}  // namespace
}  // namespace quantfleet::testing

namespace quantfleet::pipeline {
namespace {

using ::quantfleet::testing::FaultyFileSystem;
using ::quantfleet::testing::Noise;
using ::quantfleet::testing::TempDir;
using ::testing::HasSubstr;

std::vector<fs::path> FilesUnder(const fs::path& root) {
  std::vector<fs::path> out;
  for (const auto& entry : fs::recursive_directory_iterator(root))
    if (entry.is_regular_file()) out.push_back(entry.path());
  return out;
}

void Flip(const fs::path& path, uint64_t at) {
  auto file = RealFileSystem().Open(path, OpenMode::kUpdate);
  ASSERT_TRUE(file.ok());
  std::byte b;
  ASSERT_TRUE((*file)->ReadAt(at, {&b, 1}).ok());
  b ^= std::byte{1};
  ASSERT_TRUE((*file)->WriteAt(at, {&b, 1}).ok());
}

TEST(FolderBlobStore, ABlobIsAFileNamedByItsDigestAndEncoding) {
  const TempDir dir;
  FolderBlobStore store(RealFileSystem(), dir.path() / "blobs");
  for (const Bytes& plain : {Noise(70000, 1), Bytes(70000), Bytes{}}) {
    const Digest digest = HashBytes(plain);
    const auto put = store.Put(digest, plain, 1);
    ASSERT_TRUE(put.ok()) << Describe(put.status());
    const std::string hex = digest.hex();
    const fs::path path =
        dir.path() / "blobs" / hex.substr(0, 2) / (hex + "." + std::string(Name(put->encoding)));
    EXPECT_EQ(store.NameOf(digest, put->encoding), path.string());
    EXPECT_EQ(FilesUnder(dir.path()), std::vector<fs::path>{path});
    EXPECT_EQ(fs::file_size(path), put->stored_size);
    ASSERT_TRUE(store.Remove(digest).ok());
  }
  EXPECT_TRUE(FilesUnder(dir.path()).empty());
}

TEST(FolderBlobStore, AChunkThatIsThereIsNotWrittenAgain) {
  const TempDir dir;
  FaultyFileSystem disk({.write_budget = 1 << 20});
  FolderBlobStore store(disk, dir.path());
  const Bytes plain = Noise(5000, 2);
  ASSERT_TRUE(store.Put(HashBytes(plain), plain, 1).ok());
  disk.SetWriteBudget(0);
  EXPECT_TRUE(store.Put(HashBytes(plain), plain, 1).ok());
}

TEST(FolderBlobStore, AFullDiskLeavesNothingAndIsNamed) {
  const TempDir dir;
  FaultyFileSystem disk({.write_budget = 100});
  FolderBlobStore store(disk, dir.path());
  const Bytes plain = Noise(5000, 3);
  const auto put = store.Put(HashBytes(plain), plain, 1);
  ASSERT_FALSE(put.ok());
  EXPECT_EQ(put.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(Message(put.status()), HasSubstr(dir.path().string()));
  EXPECT_TRUE(FilesUnder(dir.path()).empty());
  disk.SetWriteBudget(1 << 20);
  EXPECT_TRUE(store.Put(HashBytes(plain), plain, 1).ok());
}

// Wherever the power goes, a blob is complete or absent, and one that Put has returned is there.
TEST(FolderBlobStore, APowerCutLeavesABlobCompleteOrAbsent) {
  const Bytes first = Noise(5000, 1), second = Noise(7000, 2);
  const auto put = [](BlobStore& store, const Bytes& plain) {
    return store.Put(HashBytes(plain), plain, 1).status();
  };
  const auto changes = quantfleet::testing::CutPowerAtEachChange({
      .act =
          [&](FileSystem& files, const fs::path& root) {
            FolderBlobStore store(files, root / "data/blobs");
            if (put(store, first).ok()) std::ignore = put(store, second);
          },
      .check =
          [&](FileSystem& files, const fs::path& root, bool done) {
            FolderBlobStore store(files, root / "data/blobs");
            const bool begun_second = store.Stat(HashBytes(second)).ok();
            for (const Bytes* plain : {&first, &second}) {
              const Digest digest = HashBytes(*plain);
              const auto size = static_cast<uint32_t>(plain->size());
              const bool there = store.Stat(digest).ok();
              EXPECT_TRUE(there || !done) << "it was stored";
              EXPECT_TRUE(there || plain == &second || !begun_second) << "it was stored before";
              if (there) {
                EXPECT_EQ(store.Read(digest, size).value(), *plain);
              }
              ASSERT_TRUE(put(store, *plain).ok());
              EXPECT_EQ(store.Read(digest, size).value(), *plain);
            }
            ASSERT_TRUE(store.RemoveTemporaries().ok());
            EXPECT_EQ(FilesUnder(root).size(), 2u);
          },
  });
  EXPECT_GT(changes, 10);
}

TEST(FolderBlobStore, DamageIsFoundAndNamed) {
  const TempDir dir;
  FolderBlobStore store(RealFileSystem(), dir.path());
  Bytes text(100000);
  for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<std::byte>(i % 100);
  for (const Bytes& plain : {Noise(5000, 4), text}) {
    const Digest digest = HashBytes(plain);
    const auto size = static_cast<uint32_t>(plain.size());
    const auto put = store.Put(digest, plain, 1);
    ASSERT_TRUE(put.ok());
    const fs::path path = store.NameOf(digest, put->encoding);
    EXPECT_TRUE(absl::IsDataLoss(store.Read(digest, size + 1).status()));
    EXPECT_TRUE(absl::IsDataLoss(store.Read(digest, size - 1).status()));
    Flip(path, put->stored_size / 2);
    const auto read = store.Read(digest, size);
    ASSERT_TRUE(absl::IsDataLoss(read.status())) << Describe(read.status());
    EXPECT_THAT(Message(read.status()), HasSubstr(path.string()));
    fs::resize_file(path, put->stored_size - 1);
    EXPECT_TRUE(absl::IsDataLoss(store.Read(digest, size).status()));
    fs::resize_file(path, uint64_t{1} << 40);  // a sparse giant is not read into memory
    EXPECT_TRUE(absl::IsDataLoss(store.Read(digest, size).status()));
    ASSERT_TRUE(store.Remove(digest).ok());
    ASSERT_TRUE(store.Put(digest, plain, 1).ok());
    EXPECT_TRUE(store.Read(digest, size).ok());
  }
}

TEST(FolderBlobStore, RemainsOfAKilledWriterGo) {
  const TempDir dir;
  FolderBlobStore store(RealFileSystem(), dir.path());
  fs::create_directories(dir / "incoming");
  ASSERT_TRUE(RealFileSystem().WriteAtomically(dir / "incoming/half", AsBytes("x")).ok());
  ASSERT_TRUE(store.RemoveTemporaries().ok());
  EXPECT_TRUE(FilesUnder(dir.path()).empty());
  EXPECT_TRUE(store.Put(HashText("x"), AsBytes("x"), 1).ok());
}

}  // namespace
}  // namespace quantfleet::pipeline
