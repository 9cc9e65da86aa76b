#include "daemon/rollout/estimate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace quantfleet::daemon {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr uint64_t kTenSeconds = 12'500'000;  // bytes, at the rate that is assumed

class EstimateTest : public ::testing::Test {
 protected:
  v1::RolloutPhase& Phase() { return *rollout_.mutable_plan()->add_phases(); }
  // Devices of the last phase that was made.
  void Devices(int n, uint64_t bytes = kTenSeconds) {
    for (int i = 0; i < n; ++i) {
      auto& row = *rollout_.add_devices();
      row.set_device_id(std::to_string(rollout_.devices_size()));
      row.set_state(v1::RolloutDevice::QUEUED);
      row.set_phase(static_cast<uint32_t>(rollout_.plan().phases_size() - 1));
      row.set_bytes(bytes);
    }
  }
  v1::RolloutEstimate Estimate() {
    return EstimateOf(rollout_, record_, std::chrono::seconds(30), now_);
  }
  double Seconds() { return Estimate().seconds(); }

  v1::Rollout rollout_;
  FleetRecord record_;
  Time now_ = FromUnixMillis(20'000 * int64_t{86'400'000});  // midnight
};

TEST_F(EstimateTest, AllAtOnceTakesACheckInAndTheSlowestDevice) {
  Phase();
  Devices(1, 1000);
  Devices(2);
  Devices(1, 2 * kTenSeconds);
  rollout_.mutable_devices(3)->set_state(v1::RolloutDevice::SKIPPED);
  const v1::RolloutEstimate estimate = Estimate();
  EXPECT_EQ(estimate.seconds(), 40);
  EXPECT_EQ(estimate.phases(0).devices(), 3u);
  EXPECT_EQ(estimate.phases(0).bytes(), 2 * kTenSeconds + 1000);
  EXPECT_EQ(estimate.bytes_per_second(), 1'250'000);
  EXPECT_THAT(
      estimate.notes(),
      ElementsAre(
          "assumed, since no device has finished yet: 10 Mbit/s and a check-in interval of 30 s"));
}

TEST_F(EstimateTest, SoManyInFlightTakeTurns) {
  Phase();
  Devices(5);
  rollout_.mutable_plan()->set_max_in_flight(2);
  EXPECT_EQ(Seconds(), 120);
}

TEST_F(EstimateTest, ARateSpreadsTheBeginnings) {
  Phase();
  Devices(4);
  rollout_.mutable_plan()->set_devices_per_minute(6);
  EXPECT_EQ(Seconds(), 30 + 40);
}

TEST_F(EstimateTest, DelaysAreWaitedFor) {
  Phase();
  Devices(2);
  rollout_.mutable_devices(0)->set_delay_ms(5500);
  EXPECT_EQ(Seconds(), 45.5);
}

TEST_F(EstimateTest, PhasesFollowEachOtherAndSoak) {
  Phase().set_soak_seconds(600);
  Devices(1);
  Phase().set_soak_seconds(600);  // nobody is in it
  Phase().set_soak_seconds(60);
  rollout_.mutable_plan()->mutable_phases(2)->set_approval(true);
  Devices(3, 2 * kTenSeconds);
  const v1::RolloutEstimate estimate = Estimate();
  EXPECT_EQ(estimate.phases(0).seconds(), 640);
  EXPECT_EQ(estimate.phases(1).seconds(), 0);
  EXPECT_EQ(estimate.phases(2).seconds(), 110);
  EXPECT_EQ(estimate.seconds(), 750);
  EXPECT_EQ(estimate.notes(1), "time for approvals is not included");
}

TEST_F(EstimateTest, WindowsAreWaitedForAgainAndAgain) {
  Phase();
  Devices(1);
  auto& window = *rollout_.mutable_plan()->add_windows();
  window.set_start_minute(120);
  window.set_end_minute(180);
  EXPECT_EQ(Seconds(), 7200 + 40);
  // One after the other: 90 begin on the first night, 31 on the second.
  Devices(120);
  rollout_.mutable_plan()->set_max_in_flight(1);
  EXPECT_EQ(Seconds(), 86'400 + 7200 + 31 * 40);
  EXPECT_EQ(Estimate().notes(1), "maintenance windows from now on are included");
}

TEST_F(EstimateTest, TheFleetsRecordIsUsedWhereThereIsOne) {
  std::vector<v1::RolloutDevice> rows;
  const auto add = [&](uint64_t bytes, int64_t told_ms, int64_t finished_ms) {
    auto& row = rows.emplace_back();
    row.set_bytes(bytes);
    row.set_told_ms(told_ms);
    row.set_finished_ms(finished_ms);
  };
  EXPECT_EQ(RecordOf(rows).devices, 0u);
  add(10'000'000, 1000, 11'000);   // 1 MB/s
  add(90'000'000, 1000, 31'000);   // 3 MB/s
  add(100'000'000, 1000, 21'000);  // 5 MB/s
  record_ = RecordOf(rows);
  EXPECT_EQ(record_.devices, 3u);
  EXPECT_EQ(record_.bytes_per_second, 3e6);
  EXPECT_EQ(record_.seconds, 20);
  add(40'000'000, 1000, 41'000);  // 1 MB/s
  add(0, 1000, 2000);
  add(1000, 0, 2000);
  add(1000, 2000, 2000);
  record_ = RecordOf(rows);
  EXPECT_EQ(record_.devices, 4u);
  EXPECT_EQ(record_.bytes_per_second, 2e6);
  EXPECT_EQ(record_.seconds, 25);

  Phase();
  Devices(1, 100'000'000);
  EXPECT_EQ(Seconds(), 50);
  EXPECT_EQ(Estimate().measured_devices(), 4u);
  EXPECT_EQ(Estimate().device_seconds(), 25);
  EXPECT_THAT(Estimate().notes(0), HasSubstr("(4)"));
  rollout_.mutable_devices(0)->clear_bytes();
  EXPECT_EQ(Seconds(), 25) << "what is not known is as the median";
}

TEST_F(EstimateTest, NobodyTakesNoTime) {
  Phase().set_soak_seconds(600);
  EXPECT_EQ(Seconds(), 0);
}

}  // namespace
}  // namespace quantfleet::daemon
