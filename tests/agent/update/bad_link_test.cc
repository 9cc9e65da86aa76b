// Downloads over links that are cut, that trickle, and that bring the wrong bytes.
#include <gmock/gmock.h>

#include <fstream>

#include "tests/agent/update/updater_fixture.h"

namespace quantfleet::agent {
namespace {

using ::testing::HasSubstr;

class BadLink : public UpdaterTest {
 protected:
  fs::path Part(const Digest& chunk) const {
    return folder_ / "slots/a/partial" / (chunk.hex() + ".raw");
  }
  // The first release, until the network goes for the first time.
  void BeginFirst(Life& life, const Assignment& assignment) {
    std::stop_source stop;
    sleeper_.on_sleep = [&] { stop.request_stop(); };
    life.updater.Accept(assignment);
    EXPECT_FALSE(life.updater.Run(stop.get_token()));
    sleeper_.on_sleep = nullptr;
  }
};

TEST_F(BadLink, CutEveryFewBytesItStillEndsAndPaysForNothingTwice) {
  for (const uint64_t bytes : {1u, 7u, 350u, 999u}) {
    SCOPED_TRACE(bytes);
    blobs_.bytes_per_connection = bytes;
    blobs_.bytes_fetched = 0;
    sleeper_.Forget();
    const FakeArtifact artifact = MakeArtifact({100 + bytes, 200 + bytes});
    auto life = std::make_unique<Life>(Environment(files_), dir_ / std::to_string(bytes));
    const v1::ModelStatus status = Apply(*life, To(1, artifact));
    ExpectHealthy(status, artifact, 1);
    EXPECT_EQ(blobs_.bytes_fetched, artifact.content.size());
    EXPECT_EQ(status.bytes_pulled(), artifact.content.size());
    EXPECT_EQ(status.bytes_paid(), artifact.content.size());
    // As long as anything comes, the next try is not put off longer and longer.
    for (const Duration time : sleeper_.slept()) EXPECT_LE(time, Duration(500));
    EXPECT_TRUE(fs::is_empty(dir_ / std::to_string(bytes) / "slots/a/partial"));
  }
}

TEST_F(BadLink, WhatCameOfAChunkOutlivesTheProcess) {
  blobs_.bytes_per_connection = 600;
  auto life = Begin();
  BeginFirst(*life, To(1, v1_));
  EXPECT_EQ(life->updater.status().bytes_pulled(), 600u);
  EXPECT_EQ(fs::file_size(Part(v1_.chunks[0])), 600u);
  blobs_.bytes_per_connection = 0;
  life = Reboot();
  ASSERT_TRUE(life->updater.Run({}));
  ExpectHealthy(life->updater.status(), v1_, 1);
  EXPECT_EQ(blobs_.requests.at(1).first, 600u);
  EXPECT_EQ(blobs_.bytes_fetched, v1_.content.size());
  EXPECT_EQ(life->updater.status().bytes_paid(), v1_.content.size());
}

TEST_F(BadLink, APartThatIsWrongBeginsAnewPastCachesAndIsPaidTwice) {
  blobs_.bytes_per_connection = 600;
  auto life = Begin();
  BeginFirst(*life, To(1, v1_));
  std::fstream(Part(v1_.chunks[0])) << "damage";
  blobs_.bytes_per_connection = 0;
  life = Reboot();
  ASSERT_TRUE(life->updater.Run({}));
  ExpectHealthy(life->updater.status(), v1_, 1);
  ASSERT_GE(blobs_.requests.size(), 3u);
  EXPECT_EQ(blobs_.requests[1].first, 600u);
  EXPECT_FALSE(blobs_.requests[1].afresh);
  EXPECT_EQ(blobs_.requests[2].first, 0u);
  EXPECT_TRUE(blobs_.requests[2].afresh);
  EXPECT_EQ(life->updater.status().bytes_pulled(), v1_.content.size());
  EXPECT_EQ(life->updater.status().bytes_paid(), v1_.content.size() + 1000);
}

TEST_F(BadLink, APartOfAnotherChunkIsNotTakenForThisOne) {
  fs::create_directories(Part(v1_.chunks[0]).parent_path());
  std::ofstream(Part(v2_.chunks[1])) << "something";
  std::ofstream(Part(v1_.chunks[0])) << std::string(2000, 'x');  // longer than the chunk
  auto life = Begin();
  ExpectHealthy(Apply(*life, To(1, v1_)), v1_, 1);
  EXPECT_EQ(life->updater.status().bytes_paid(), v1_.content.size());
}

// One byte in five seconds: each connection is given up for another, and what came is kept.
TEST_F(BadLink, OneThatTricklesIsGivenUpForAnotherAndStillEnds) {
  min_bytes_per_second_ = 1024;
  blobs_.bytes_per_packet = 1;
  blobs_.on_packet = [&] { clock_.Advance(std::chrono::seconds(5)); };
  const FakeArtifact artifact = MakeArtifact({9});
  auto life = Begin();
  const v1::ModelStatus status = Apply(*life, To(1, artifact));
  ExpectHealthy(status, artifact, 1);
  EXPECT_EQ(status.bytes_paid(), artifact.content.size());
  EXPECT_GE(blobs_.requests.size(), artifact.content.size() / 7);
  for (size_t i = 1; i < blobs_.requests.size(); ++i)
    EXPECT_EQ(blobs_.requests[i].first - blobs_.requests[i - 1].first, 6u);
}

TEST_F(BadLink, OneThatIsSlowButAboveTheLimitKeepsItsConnection) {
  min_bytes_per_second_ = 10;
  blobs_.bytes_per_packet = 100;
  blobs_.on_packet = [&] { clock_.Advance(std::chrono::seconds(9)); };
  auto life = Begin();
  ExpectHealthy(Apply(*life, To(1, v1_)), v1_, 1);
  EXPECT_EQ(blobs_.requests.size(), v1_.chunks.size());
}

// While it comes slowly: a power cut costs no more than a few seconds of it.
TEST_F(BadLink, WhatComesSlowlyIsKeptWhileItComes) {
  blobs_.bytes_per_packet = 100;
  std::vector<uint64_t> kept;
  blobs_.on_packet = [&] {
    clock_.Advance(std::chrono::seconds(6));
    kept.push_back(fs::exists(Part(v1_.chunks[0])) ? fs::file_size(Part(v1_.chunks[0])) : 0);
  };
  auto life = Begin();
  ExpectHealthy(Apply(*life, To(1, v1_)), v1_, 1);
  ASSERT_GE(kept.size(), 10u);
  EXPECT_EQ(std::vector(kept.begin(), kept.begin() + 4), (std::vector<uint64_t>{0, 100, 200, 300}));
}

TEST_F(BadLink, ABudgetCountsWhatWasPaidToTheByte) {
  blobs_.bytes_per_connection = 300;
  blobs_.tampered[v1_.chunks[1]] = 1;
  Assignment assignment = To(1, v1_);
  assignment.network.set_budget_bytes(100'000);
  assignment.network.set_budget_days(30);
  auto life = Begin();
  const v1::ModelStatus status = Apply(*life, assignment);
  ExpectHealthy(status, v1_, 1);
  EXPECT_EQ(status.bytes_pulled(), v1_.content.size());
  EXPECT_EQ(status.bytes_paid(), blobs_.bytes_fetched);
  EXPECT_EQ(100'000 - budget_.Left(assignment.network), blobs_.bytes_fetched);
}

TEST_F(BadLink, AStopReachesTheConnectionAndWhatCameIsKept) {
  blobs_.bytes_per_packet = 100;
  std::stop_source stop;
  int packets = 0;
  blobs_.on_packet = [&] {
    if (++packets == 4) blobs_.error = Cancelled("stopped"), stop.request_stop();
  };
  blobs_.bytes_per_connection = 400;
  auto life = Begin();
  life->updater.Accept(To(1, v1_));
  EXPECT_FALSE(life->updater.Run(stop.get_token()));
  EXPECT_TRUE(sleeper_.slept().empty());
  EXPECT_EQ(fs::file_size(Part(v1_.chunks[0])), 400u);
}

TEST_F(BadLink, PowerCutAtAnyChangeOfACutDownloadEndsHealthy) {
  const auto live = [&](FileSystem& files, const fs::path& root) {
    host_.running.clear();
    return std::make_unique<Life>(Environment(files), root / "models/m");
  };
  const FakeArtifact small = MakeArtifact({31, 32});
  testing::CutPowerAtEachChange({
      .act =
          [&](FileSystem& files, const fs::path& root) {
            blobs_.bytes_per_connection = 600;
            int tries = 0;
            std::stop_source stop;
            sleeper_.on_sleep = [&] {
              if (++tries > 4) stop.request_stop();
            };
            const auto life = live(files, root);
            life->updater.Accept(To(1, small));
            life->updater.Run(stop.get_token());
            sleeper_.on_sleep = nullptr;
          },
      .check =
          [&](FileSystem& files, const fs::path& root, bool) {
            blobs_.bytes_per_connection = 0;
            const auto life = live(files, root);
            ExpectHealthy(Apply(*life, To(1, small)), small, 1);
          },
      .step = 5,
  });
}

}  // namespace
}  // namespace quantfleet::agent
