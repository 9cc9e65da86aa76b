// Budgets and rates of downloads.
#include "agent/update/meter.h"

#include <gmock/gmock.h>

#include <fstream>

#include "tests/agent/update/updater_fixture.h"
#include "tests/agent/verdict_matchers.h"

namespace quantfleet::agent {
namespace {

using ::testing::HasSubstr;

constexpr auto kDay = std::chrono::hours(24);

v1::NetworkPolicy Budget(uint64_t bytes, uint32_t days = 30) {
  v1::NetworkPolicy policy;
  policy.set_budget_bytes(bytes);
  policy.set_budget_days(days);
  return policy;
}

class DataBudgetTest : public ::testing::Test {
 protected:
  ManualClock clock_;
  testing::TempDir dir_;
  const fs::path file_ = dir_ / "pulled.json";
  DataBudget budget_{RealFileSystem(), file_, clock_};
};

TEST_F(DataBudgetTest, DaysGoByAndBytesWithThem) {
  EXPECT_EQ(budget_.Left(Budget(1000, 2)), 1000u);
  ASSERT_TRUE(budget_.Spend(300).ok());
  clock_.Advance(kDay);
  ASSERT_TRUE(budget_.Spend(400).ok());
  EXPECT_EQ(budget_.Left(Budget(1000, 2)), 300u);
  EXPECT_EQ(budget_.Left(Budget(1000, 1)), 600u);
  EXPECT_EQ(budget_.Left(Budget(500, 2)), 0u) << "a budget may shrink";
  clock_.Advance(kDay);
  EXPECT_EQ(budget_.Left(Budget(1000, 2)), 600u);
  clock_.Advance(kDay);
  EXPECT_EQ(budget_.Left(Budget(1000, 2)), 1000u);
}

TEST_F(DataBudgetTest, OutlivesTheProcessAndOldDaysAreForgotten) {
  ASSERT_TRUE(budget_.Spend(300).ok());
  EXPECT_EQ(DataBudget(RealFileSystem(), file_, clock_).Left(Budget(1000)), 700u);
  clock_.Advance(400 * kDay);
  ASSERT_TRUE(budget_.Spend(1).ok());
  std::ifstream in(file_);
  const std::string text(std::istreambuf_iterator<char>(in), {});
  EXPECT_THAT(text, Not(HasSubstr("300")));
}

TEST_F(DataBudgetTest, AClockThatStoodWrongForgivesNothing) {
  ASSERT_TRUE(budget_.Spend(300).ok());
  ManualClock earlier(clock_.Now() - 100 * kDay);
  EXPECT_EQ(DataBudget(RealFileSystem(), file_, earlier).Left(Budget(1000)), 700u);
}

TEST_F(DataBudgetTest, WhatDidNotComeIsTakenBackAndNoMore) {
  ASSERT_TRUE(budget_.Spend(300).ok());
  ASSERT_TRUE(budget_.TakeBack(100).ok());
  EXPECT_EQ(budget_.Left(Budget(1000)), 800u);
  clock_.Advance(kDay);
  ASSERT_TRUE(budget_.TakeBack(100).ok());
  EXPECT_EQ(budget_.Left(Budget(1000)), 800u) << "another day's bytes are not taken back";
}

TEST_F(DataBudgetTest, ADamagedRecordLeavesNothing) {
  std::ofstream(file_) << R"({"today": "many"})";
  EXPECT_EQ(budget_.Left(Budget(1000)), 0u);
  std::ofstream(file_) << "{";
  EXPECT_EQ(budget_.Left(Budget(1000)), 0u);
  ASSERT_TRUE(budget_.Spend(1).ok()) << "what an operator allows mends it";
  EXPECT_EQ(budget_.Left(Budget(1000)), 999u);
}

class MeterTest : public DataBudgetTest {
 protected:
  FakeSleeper sleeper_{&clock_};
};

TEST_F(MeterTest, KeepsTheRate) {
  v1::NetworkPolicy policy;
  policy.set_max_bytes_per_second(10'000);
  Meter meter(policy, budget_, clock_, sleeper_, {});
  EXPECT_EQ(meter.Piece(1 << 20), 40'000u);
  const Duration began = clock_.Monotonic();
  for (int i = 0; i < 10; ++i) ASSERT_CAME_OFF(meter.Pay(40'000));
  // Nine pieces were waited for; the tenth is under way.
  EXPECT_EQ(clock_.Monotonic() - began, std::chrono::seconds(36));
  EXPECT_FALSE(fs::exists(file_)) << "without a budget nothing is counted";
}

TEST_F(MeterTest, WithoutLimitsThereIsNothingToAsk) {
  const v1::NetworkPolicy policy;
  Meter meter(policy, budget_, clock_, sleeper_, {});
  EXPECT_EQ(meter.Piece(uint64_t{1} << 40), uint64_t{1} << 40);
  EXPECT_CAME_OFF(meter.Pay(uint64_t{1} << 40));
  EXPECT_CAME_OFF(meter.MayPull(uint64_t{1} << 40));
  EXPECT_FALSE(fs::exists(file_));
}

class BudgetedUpdate : public UpdaterTest {
 protected:
  Assignment Within(uint64_t release, const FakeArtifact& artifact, uint64_t bytes,
                    bool over = false) {
    Assignment assignment = To(release, artifact);
    assignment.network = Budget(bytes);
    assignment.network.set_over_budget(over);
    return assignment;
  }
};

TEST_F(BudgetedUpdate, AFullDownloadBeyondItWaitsAndPullsNothing) {
  auto life = Begin();
  const v1::ModelStatus status = Apply(*life, Within(1, v1_, 3999));
  EXPECT_EQ(status.phase(), v1::ModelStatus::AWAITING_APPROVAL);
  EXPECT_EQ(status.reason(), NameOf(Reason::kOverBudget));
  EXPECT_THAT(status.detail(), HasSubstr("allow-download"));
  EXPECT_EQ(blobs_.bytes_fetched, 0u);
  // An operator's word is a new release.
  ExpectHealthy(Apply(*life, Within(2, v1_, 3999, true)), v1_, 2);
  EXPECT_EQ(budget_.Left(Budget(10'000)), 6000u) << "it counts all the same";
}

TEST_F(BudgetedUpdate, WhatIsHereAlreadyCostsNothing) {
  auto life = Begin();
  Apply(*life, To(1, v1_));
  ExpectHealthy(Apply(*life, Within(2, v2_, 3000)), v2_, 2);  // 1 and 3 of it are v1's
  EXPECT_EQ(budget_.Left(Budget(3000)), 0u);
}

TEST_F(BudgetedUpdate, ChunksThatCameWrongCountAndStopItInTheMiddle) {
  blobs_.tampered[v1_.chunks[1]] = 2;
  auto life = Begin();
  const v1::ModelStatus status = Apply(*life, Within(1, v1_, 4500));
  EXPECT_EQ(status.phase(), v1::ModelStatus::AWAITING_APPROVAL) << status.ShortDebugString();
  EXPECT_LE(blobs_.bytes_fetched, 4500u);
  const uint64_t fetched = blobs_.bytes_fetched;
  // Time lets it go on where it was.
  clock_.Advance(31 * kDay);
  ASSERT_TRUE(life->updater.Run({}));
  ExpectHealthy(life->updater.status(), v1_, 1);
  EXPECT_LT(blobs_.bytes_fetched - fetched, 4000u);
}

TEST_F(BudgetedUpdate, HoldsOverARestart) {
  auto life = Begin();
  // The third comes wrong, and then not at all.
  blobs_.cut_after = 3;
  blobs_.tampered[v1_.chunks[2]] = 1;
  std::stop_source stop;
  sleeper_.on_sleep = [&] { stop.request_stop(); };
  life->updater.Accept(Within(1, v1_, 4000));
  EXPECT_FALSE(life->updater.Run(stop.get_token()));
  sleeper_.on_sleep = nullptr;
  blobs_.cut_after = -1;
  life = Reboot();
  // Three were paid for, one of them in vain: two are missing, and one more is left.
  const v1::ModelStatus status = Apply(*life, Within(1, v1_, 4000));
  EXPECT_EQ(status.phase(), v1::ModelStatus::AWAITING_APPROVAL);
  EXPECT_EQ(status.bytes_done(), 2000u);
}

}  // namespace
}  // namespace quantfleet::agent
