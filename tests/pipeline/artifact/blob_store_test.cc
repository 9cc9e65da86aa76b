#include "pipeline/artifact/blob_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "tests/support/faulty_file_system.h"
#include "tests/support/noise.h"
#include "tests/support/power_cuts.h"
#include "tests/support/temp_dir.h"

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

TEST(BlobStore, PutFindReadRemove) {
  const TempDir dir;
  BlobStore store(RealFileSystem(), dir.path() / "blobs");
  for (const Bytes& plain : {Noise(70000, 1), Bytes(70000), Bytes{}}) {
    const Digest digest = HashBytes(plain);
    EXPECT_TRUE(absl::IsNotFound(store.Find(digest).status()));
    const auto put = store.Put(digest, plain, 1);
    ASSERT_TRUE(put.ok()) << Describe(put.status());
    EXPECT_EQ(fs::file_size(put->path), put->stored_size);
    EXPECT_EQ(put->path.filename().string(), digest.hex() + "." + std::string(Name(put->encoding)));
    const auto found = store.Find(digest);
    ASSERT_TRUE(found.ok());
    EXPECT_EQ(found->path, put->path);
    const auto read = store.Read(digest, static_cast<uint32_t>(plain.size()));
    ASSERT_TRUE(read.ok()) << Describe(read.status());
    EXPECT_EQ(*read, plain);
    ASSERT_TRUE(store.Remove(digest).ok());
    EXPECT_TRUE(absl::IsNotFound(store.Find(digest).status()));
  }
  EXPECT_TRUE(FilesUnder(dir.path()).empty());
}

TEST(BlobStore, AChunkThatIsThereIsNotWrittenAgain) {
  const TempDir dir;
  FaultyFileSystem disk({.write_budget = 1 << 20});
  BlobStore store(disk, dir.path());
  const Bytes plain = Noise(5000, 2);
  ASSERT_TRUE(store.Put(HashBytes(plain), plain, 1).ok());
  disk.SetWriteBudget(0);
  EXPECT_TRUE(store.Put(HashBytes(plain), plain, 1).ok());
}

TEST(BlobStore, AFullDiskLeavesNothingAndIsNamed) {
  const TempDir dir;
  FaultyFileSystem disk({.write_budget = 100});
  BlobStore store(disk, dir.path());
  const Bytes plain = Noise(5000, 3);
  const auto put = store.Put(HashBytes(plain), plain, 1);
  ASSERT_FALSE(put.ok());
  EXPECT_EQ(put.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(Message(put.status()), HasSubstr(dir.path().string()));
  EXPECT_TRUE(FilesUnder(dir.path()).empty());
  disk.SetWriteBudget(1 << 20);
  EXPECT_TRUE(store.Put(HashBytes(plain), plain, 1).ok());
}

TEST(BlobStore, DamageIsFoundAndNamed) {
  const TempDir dir;
  BlobStore store(RealFileSystem(), dir.path());
  Bytes text(100000);
  for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<std::byte>(i % 100);
  for (const Bytes& plain : {Noise(5000, 4), text}) {
    const Digest digest = HashBytes(plain);
    const auto size = static_cast<uint32_t>(plain.size());
    const auto put = store.Put(digest, plain, 1);
    ASSERT_TRUE(put.ok());
    EXPECT_TRUE(absl::IsDataLoss(store.Read(digest, size + 1).status()));
    EXPECT_TRUE(absl::IsDataLoss(store.Read(digest, size - 1).status()));
    Flip(put->path, put->stored_size / 2);
    const auto read = store.Read(digest, size);
    ASSERT_TRUE(absl::IsDataLoss(read.status())) << Describe(read.status());
    EXPECT_THAT(Message(read.status()), HasSubstr(put->path.string()));
    fs::resize_file(put->path, put->stored_size - 1);
    EXPECT_TRUE(absl::IsDataLoss(store.Read(digest, size).status()));
    fs::resize_file(put->path, uint64_t{1} << 40);  // a sparse giant is not read into memory
    EXPECT_TRUE(absl::IsDataLoss(store.Read(digest, size).status()));
    ASSERT_TRUE(store.Remove(digest).ok());
    ASSERT_TRUE(store.Put(digest, plain, 1).ok());
    EXPECT_TRUE(store.Read(digest, size).ok());
  }
}

TEST(BlobStore, ManyThreadsStoreTheSameChunks) {
  const TempDir dir;
  BlobStore store(RealFileSystem(), dir.path() / "blobs");
  std::vector<Bytes> chunks;
  for (uint64_t i = 0; i < 3; ++i) chunks.push_back(Noise(3000, i));
  std::atomic<int> failures{0};
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([&] {
        for (const Bytes& chunk : chunks) failures += !store.Put(HashBytes(chunk), chunk, 1).ok();
      });
  }
  EXPECT_EQ(failures, 0);
  EXPECT_EQ(FilesUnder(dir.path()).size(), chunks.size());
  for (const Bytes& chunk : chunks) EXPECT_TRUE(store.Read(HashBytes(chunk), 3000).ok());
}

TEST(BlobStore, RemainsOfAKilledWriterGo) {
  const TempDir dir;
  BlobStore store(RealFileSystem(), dir.path());
  fs::create_directories(dir / "incoming");
  ASSERT_TRUE(RealFileSystem().WriteAtomically(dir / "incoming/half", AsBytes("x")).ok());
  ASSERT_TRUE(store.RemoveTemporaries().ok());
  EXPECT_TRUE(FilesUnder(dir.path()).empty());
  EXPECT_TRUE(store.Put(HashText("x"), AsBytes("x"), 1).ok());
}

// Wherever the power goes, a blob is complete or absent, and one that Put has returned is there.
TEST(BlobStore, APowerCutLeavesABlobCompleteOrAbsent) {
  const Bytes first = Noise(5000, 1), second = Noise(7000, 2);
  const auto put = [](BlobStore& store, const Bytes& plain) {
    return store.Put(HashBytes(plain), plain, 1).status();
  };
  const auto changes = quantfleet::testing::CutPowerAtEachChange({
      .act =
          [&](FileSystem& files, const fs::path& root) {
            BlobStore store(files, root / "data/blobs");
            if (put(store, first).ok()) std::ignore = put(store, second);
          },
      .check =
          [&](FileSystem& files, const fs::path& root, bool done) {
            BlobStore store(files, root / "data/blobs");
            const bool begun_second = store.Find(HashBytes(second)).ok();
            for (const Bytes* plain : {&first, &second}) {
              const Digest digest = HashBytes(*plain);
              const auto size = static_cast<uint32_t>(plain->size());
              const bool there = store.Find(digest).ok();
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

TEST(BlobStore, TooLargeIsRefused) {
  const TempDir dir;
  BlobStore store(RealFileSystem(), dir.path());
  const Bytes plain(kMaxChunkBytes + 1);
  EXPECT_TRUE(absl::IsInvalidArgument(store.Put(HashBytes(plain), plain, 1).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(store.Read(HashBytes(plain), kMaxChunkBytes + 1).status()));
}

}  // namespace
}  // namespace quantfleet::pipeline
