#include "daemon/jobs/job_journal.h"

#include <gtest/gtest.h>

#include <thread>

#include "daemon/store/sqlite/sqlite_store.h"
#include "pipeline/artifact/folder/folder_blob_store.h"
#include "tests/daemon/store/once.h"
#include "tests/support/temp_dir.h"

namespace quantfleet::daemon {
namespace {

pipeline::SlabRecord SomeRecord(uint32_t seed) {
  pipeline::SlabRecord record;
  record.source_blocks = {HashText("block" + std::to_string(seed)), HashText("other")};
  record.chunks = {{0, seed, HashText("chunk" + std::to_string(seed))}};
  return record;
}

TEST(SlabRecordTest, SurvivesAsBytes) {
  const auto parsed = pipeline::ParseSlabRecord(pipeline::SerializeSlabRecord(SomeRecord(3)));
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(parsed->source_blocks, SomeRecord(3).source_blocks);
  ASSERT_EQ(parsed->chunks.size(), 1u);
  EXPECT_EQ(parsed->chunks[0].index, 3u);
  EXPECT_EQ(parsed->chunks[0].digest, SomeRecord(3).chunks[0].digest);
}

TEST(SlabRecordTest, DamagedBytesAreRefusedWhereverTheyEnd) {
  const std::string bytes = pipeline::SerializeSlabRecord(SomeRecord(3));
  for (size_t size = 0; size < bytes.size(); ++size)
    EXPECT_FALSE(pipeline::ParseSlabRecord(bytes.substr(0, size)).ok()) << size;
  EXPECT_FALSE(pipeline::ParseSlabRecord(bytes + "x").ok());
  EXPECT_FALSE(pipeline::ParseSlabRecord(std::string(8, '\xff')).ok());
}

class JobJournalTest : public ::testing::Test {
 protected:
  JobJournalTest() {
    JobRecord job;
    job.job.set_name("jobs/1");
    EXPECT_TRUE(Once(*store_)->jobs().Create(job, {}).ok());
    plan_.slabs.resize(100);
    plan_.targets.resize(1);
    plan_.targets[0].chunks.resize(100);
  }
  std::unique_ptr<JobJournal> Load() {
    auto journal = JobJournal::Load(*store_, blobs_, plan_, "jobs/1", nullptr);
    EXPECT_TRUE(journal.ok());
    return std::move(*journal);
  }
  void PutBlob(uint32_t seed) {
    const std::string text = "chunk" + std::to_string(seed);
    ASSERT_TRUE(blobs_.Put(HashText(text), AsBytes(text), 1).ok());
  }

  testing::TempDir dir_;
  std::unique_ptr<Store> store_ = *OpenSqliteStore(dir_ / "s.db");
  pipeline::FolderBlobStore blobs_{RealFileSystem(), dir_ / "blobs"};
  pipeline::Plan plan_;
};

TEST_F(JobJournalTest, ThreadsThatRecordTogetherAllEndUpInTheStore) {
  const auto journal = Load();
  std::vector<std::thread> threads;
  for (size_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (size_t i = 0; i < 10; ++i)
        ASSERT_TRUE(journal->Record(t * 10 + i, SomeRecord(t * 10 + i)).ok());
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(Once(*store_)->jobs().ListSlabs("jobs/1")->size(), 40u);
}

TEST_F(JobJournalTest, OnlyRecordsThatFitThePlanAndHaveTheirBlobsCount) {
  {
    const auto journal = Load();
    ASSERT_TRUE(journal->Record(1, SomeRecord(1)).ok());
    ASSERT_TRUE(journal->Record(2, SomeRecord(2)).ok());
    ASSERT_TRUE(journal->Record(3, SomeRecord(100)).ok());  // a chunk that the plan lacks
    ASSERT_TRUE(journal->Record(100, SomeRecord(1)).ok());  // a slab that the plan lacks
    ASSERT_TRUE(Once(*store_)->jobs().PutSlabs("jobs/1", {{4, "damaged"}}).ok());
  }
  PutBlob(1);
  PutBlob(100);
  const auto journal = Load();
  EXPECT_EQ(journal->loaded(), 1u);
  ASSERT_NE(journal->Find(1), nullptr);
  EXPECT_EQ(journal->Find(1)->chunks[0].digest, HashText("chunk1"));
  EXPECT_EQ(journal->Find(2), nullptr);
}

TEST_F(JobJournalTest, ARecordThatTheStoreRefusesIsAnError) {
  auto journal = JobJournal::Load(*store_, blobs_, plan_, "jobs/none", nullptr);
  ASSERT_TRUE(journal.ok());
  EXPECT_FALSE((*journal)->Record(1, SomeRecord(1)).ok());
}

}  // namespace
}  // namespace quantfleet::daemon
