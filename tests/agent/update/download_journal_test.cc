#include "agent/update/download_journal.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/faulty_file_system.h"
#include "tests/support/power_cuts.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace quantfleet::agent {
namespace {

class JournalTest : public ::testing::Test {
 protected:
  absl::StatusOr<DownloadJournal> Open() { return DownloadJournal::Open(files_, path_, chunks_); }
  static std::vector<uint32_t> Chunks(const DownloadJournal& journal) {
    std::vector<uint32_t> chunks;
    for (const JournalEntry& entry : journal.entries()) chunks.push_back(entry.chunk);
    return chunks;
  }

  testing::FaultyFileSystem files_;
  testing::TempDir dir_;
  const fs::path path_ = dir_ / "journal";
  std::vector<Digest> chunks_ = {HashText("0"), HashText("1"), HashText("2"), HashText("3")};
};

TEST_F(JournalTest, RemembersWhatWasAppended) {
  {
    auto journal = Open();
    ASSERT_TRUE(journal.ok()) << journal.status();
    ASSERT_TRUE(journal->Append({{2, 100, 7}, {0, 0, 7}}).ok());
    ASSERT_TRUE(journal->Append({{3, 50, 8}}).ok());
  }
  auto again = Open();
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(Chunks(*again), (std::vector<uint32_t>{0, 2, 3}));
  EXPECT_EQ(again->entries()[1].pulled, 100u);
  EXPECT_EQ(again->entries()[2].release, 8u);
}

// A kill in the middle of an append leaves a part of a record; what follows it must not be shifted.
TEST_F(JournalTest, TornRecordIsWrittenOver) {
  for (uintmax_t torn = 1; torn < 16; ++torn) {
    fs::remove(path_);
    {
      auto journal = Open();
      ASSERT_TRUE(journal->Append({{0, 1, 1}, {1, 1, 1}}).ok());
    }
    fs::resize_file(path_, 16 + torn);
    {
      auto journal = Open();
      ASSERT_TRUE(journal.ok());
      EXPECT_EQ(Chunks(*journal), (std::vector<uint32_t>{0})) << torn;
      ASSERT_TRUE(journal->Append({{3, 1, 1}}).ok());
    }
    EXPECT_EQ(Chunks(*Open()), (std::vector<uint32_t>{0, 3})) << torn;
  }
}

TEST_F(JournalTest, RecordsOfOtherChunksCountAsAbsent) {
  {
    auto journal = Open();
    ASSERT_TRUE(journal->Append({{0, 1, 1}, {1, 1, 1}, {3, 1, 1}}).ok());
  }
  chunks_ = {HashText("0"), HashText("other")};
  auto journal = Open();
  ASSERT_TRUE(journal.ok());
  EXPECT_EQ(Chunks(*journal), (std::vector<uint32_t>{0}));
}

TEST_F(JournalTest, ForgottenChunksStayForgotten) {
  auto journal = Open();
  ASSERT_TRUE(journal->Append({{0, 1, 1}, {1, 1, 1}, {2, 1, 1}}).ok());
  ASSERT_TRUE(journal->Forget({1}).ok());
  EXPECT_EQ(Chunks(*journal), (std::vector<uint32_t>{0, 2}));
  EXPECT_EQ(Chunks(*Open()), (std::vector<uint32_t>{0, 2}));
  ASSERT_TRUE(journal->Append({{1, 9, 2}}).ok());
  EXPECT_EQ(Chunks(*Open()), (std::vector<uint32_t>{0, 1, 2}));
}

// What Append has returned is there, and nothing that was never appended.
TEST_F(JournalTest, APowerCutLosesNothingThatWasAppended) {
  std::vector<uint32_t> appended, least;
  const auto changes = testing::CutPowerAtEachChange({
      .act =
          [&](FileSystem& files, const fs::path& root) {
            appended.clear(), least.clear();
            auto journal = DownloadJournal::Open(files, root / "journal", chunks_);
            if (!journal.ok()) return;
            for (const uint32_t chunk : {2u, 0u, 3u}) {
              appended.push_back(chunk);
              if (!journal->Append({{chunk, 1, 1}}).ok()) return;
              least.push_back(chunk);
            }
            least = {2, 3};  // forgotten, or not yet
            if (journal->Forget({0}).ok()) appended = least;
          },
      .check =
          [&](FileSystem& files, const fs::path& root, bool) {
            auto journal = DownloadJournal::Open(files, root / "journal", chunks_);
            ASSERT_OK(journal.status());
            const std::vector<uint32_t> found = Chunks(*journal);
            for (const uint32_t chunk : least)
              EXPECT_TRUE(std::ranges::count(found, chunk)) << chunk << " was recorded";
            for (const uint32_t chunk : found)
              EXPECT_TRUE(std::ranges::count(appended, chunk)) << chunk;
            ASSERT_OK(journal->Append({{1, 1, 1}}));
            EXPECT_TRUE(std::ranges::count(
                Chunks(*DownloadJournal::Open(files, root / "journal", chunks_)), 1u));
          },
  });
  EXPECT_GT(changes, 10);
}

}  // namespace
}  // namespace quantfleet::agent
