#include "daemon/rollout/row.h"

#include <array>
#include <map>

#include "common/base/digest.h"
#include "tests/support/status_matchers.h"

namespace quantfleet::daemon {
namespace {

using v1::ModelStatus;
using v1::RolloutDevice;

const Digest kNew = HashText("new"), kOld = HashText("old");

RolloutDevice RowIn(RolloutDevice::State state) {
  RolloutDevice row;
  row.set_device_id("one");
  row.set_state(state);
  row.set_artifact("artifacts/" + kNew.hex());
  row.set_previous_artifact("artifacts/" + kOld.hex());
  if (state != RolloutDevice::QUEUED && state != RolloutDevice::STATE_UNSPECIFIED) {
    row.set_release(7);
    row.set_told_ms(1'000);
  }
  if (!IsOver(state)) row.set_deadline_ms(5'000);
  return row;
}

ModelStatus Healthy(const Digest& manifest) {
  ModelStatus status;
  status.set_release(7);
  status.set_phase(ModelStatus::HEALTHY);
  status.set_active_manifest(manifest.raw());
  return status;
}

// Every state and every event. The report says that the device is healthy with what the row has it
// run.
TEST(RowTest, EveryStateAndEventIsDecided) {
  using enum RowEvent;
  constexpr RowEvent kEvents[] = {kSuit,   kUnsuit,    kAssign,  kReport, kTimeOut,
                                  kRevoke, kSupersede, kOutrank, kEnd,    kRollBack};
  constexpr RolloutDevice::State no = RolloutDevice::STATE_UNSPECIFIED;  // it says nothing
  constexpr auto queued = RolloutDevice::QUEUED, pending = RolloutDevice::PENDING,
                 healthy = RolloutDevice::HEALTHY, failed = RolloutDevice::FAILED,
                 skipped = RolloutDevice::SKIPPED, rolling = RolloutDevice::ROLLING_BACK,
                 rolled = RolloutDevice::ROLLED_BACK;
  const std::map<RolloutDevice::State, std::array<RolloutDevice::State, std::size(kEvents)>> table =
      {
          // suit, unsuit, tell, report, time out, revoke, supersede, outrank, end, take back
          {no, {queued, skipped, no, no, no, no, no, no, no, no}},
          {queued, {queued, skipped, pending, no, no, skipped, skipped, skipped, skipped, no}},
          {pending, {no, no, no, healthy, failed, skipped, skipped, no, skipped, rolling}},
          {RolloutDevice::IN_PROGRESS,
           {no, no, no, healthy, failed, skipped, skipped, no, skipped, rolling}},
          {healthy, {no, no, no, healthy, no, no, no, no, no, rolling}},
          {failed, {no, no, no, healthy, no, no, no, no, no, rolling}},
          {skipped, {no, no, no, no, no, no, no, no, no, rolling}},
          {rolling, {no, no, no, rolled, failed, skipped, skipped, no, no, no}},
          {rolled, {no, no, no, no, no, no, no, no, no, no}},
      };
  ASSERT_EQ(table.size(), static_cast<size_t>(RolloutDevice::State_descriptor()->value_count()))
      << "a state has no line";
  for (const auto& [state, line] : table) {
    const ModelStatus status = Healthy(state == rolling ? kOld : kNew);
    for (size_t i = 0; i < line.size(); ++i) {
      SCOPED_TRACE(fmt::format("{}, event {}", RolloutDevice::State_Name(state), i));
      RolloutDevice row = RowIn(state);
      const bool assigned = kEvents[i] == kAssign || kEvents[i] == kRollBack;
      const bool moved = Move(row, kEvents[i],
                              {.now = FromUnixMillis(9'000),
                               .why = "why",
                               .code = RolloutDevice::NO_CLASS,
                               .status = &status,
                               .release = 8,
                               .deadline_ms = 10'000});
      // What is healthy already hears nothing new.
      const bool says_nothing = line[i] == no || (kEvents[i] == kReport && state == healthy);
      EXPECT_EQ(moved, !says_nothing);
      EXPECT_EQ(Concerns(kEvents[i], RowIn(state)), line[i] != no);
      if (says_nothing) {
        EXPECT_EQ(row.SerializeAsString(), RowIn(state).SerializeAsString());
        continue;
      }
      EXPECT_EQ(row.state(), line[i]);
      EXPECT_EQ(row.release(), assigned ? 8u : RowIn(state).release());
      if (kEvents[i] == kSuit || kEvents[i] == kUnsuit) continue;
      EXPECT_EQ(row.deadline_ms(), assigned ? 10'000 : 0);
      EXPECT_EQ(row.finished_ms(), assigned ? 0 : 9'000);
    }
  }
}

TEST(RowTest, ADownloadIsAllowedWhereItWaitsForItsBudget) {
  for (int state = 0; state < RolloutDevice::State_ARRAYSIZE; ++state)
    for (const auto code : {RolloutDevice::CODE_UNSPECIFIED, RolloutDevice::OVER_BUDGET}) {
      RolloutDevice row = RowIn(static_cast<RolloutDevice::State>(state));
      row.set_code(code);
      row.set_reason("1 GB");
      const bool moves = state == RolloutDevice::IN_PROGRESS && code == RolloutDevice::OVER_BUDGET;
      EXPECT_EQ(Move(row, RowEvent::kAllow, {.now = FromUnixMillis(9'000), .release = 8}), moves);
      if (!moves) continue;
      EXPECT_EQ(row.state(), RolloutDevice::PENDING);
      EXPECT_EQ(row.code(), RolloutDevice::CODE_UNSPECIFIED);
      EXPECT_EQ(row.reason(), "");
      EXPECT_EQ(row.release(), 8u);
    }
}

TEST(RowTest, WhoWaitsForItsArtifactIsQueuedAndSaysWhyOnce) {
  for (int state = 0; state < RolloutDevice::State_ARRAYSIZE; ++state) {
    RolloutDevice row = RowIn(static_cast<RolloutDevice::State>(state));
    const bool waits = state == RolloutDevice::QUEUED;
    EXPECT_EQ(Move(row, RowEvent::kHold, {.why = "damaged"}), waits);
    EXPECT_EQ(row.state(), state);
    if (!waits) continue;
    EXPECT_EQ(row.code(), RolloutDevice::ARTIFACT_UNAVAILABLE);
    EXPECT_EQ(row.reason(), "damaged");
    EXPECT_FALSE(Move(row, RowEvent::kHold, {.why = "damaged"}));
    EXPECT_TRUE(Move(row, RowEvent::kHold, {.why = "damaged, and a job makes it again"}));
  }
}

TEST(RowTest, EndsSayWhy) {
  const std::tuple<RowEvent, RolloutDevice::State, RolloutDevice::Code> ends[] = {
      {RowEvent::kTimeOut, RolloutDevice::PENDING, RolloutDevice::TIMED_OUT},
      {RowEvent::kRevoke, RolloutDevice::PENDING, RolloutDevice::REVOKED},
      {RowEvent::kSupersede, RolloutDevice::PENDING, RolloutDevice::SUPERSEDED},
      {RowEvent::kOutrank, RolloutDevice::QUEUED, RolloutDevice::OUTRANKED},
      {RowEvent::kEnd, RolloutDevice::QUEUED, RolloutDevice::CANCELLED},
      {RowEvent::kEnd, RolloutDevice::IN_PROGRESS, RolloutDevice::CANCELLED},
  };
  for (const auto& [event, state, code] : ends) {
    RolloutDevice row = RowIn(state);
    ASSERT_TRUE(Move(row, event, {.now = FromUnixMillis(9'000), .why = "why"}));
    EXPECT_EQ(row.code(), code);
    EXPECT_NE(row.reason(), "");
  }
}

// What went back, or failed on the way, is not rolled back twice, and its reports are over.
TEST(RowTest, ARowIsTakenBackOnce) {
  RolloutDevice row = RowIn(RolloutDevice::HEALTHY);
  ASSERT_TRUE(Move(row, RowEvent::kRollBack, {.now = FromUnixMillis(9'000), .release = 8}));
  EXPECT_TRUE(row.taken_back());
  ModelStatus failed;
  failed.set_release(8);
  failed.set_phase(ModelStatus::FAILED);
  failed.set_reason("disk_full");
  ASSERT_TRUE(Move(row, RowEvent::kReport, {.now = FromUnixMillis(9'500), .status = &failed}));
  EXPECT_EQ(row.state(), RolloutDevice::FAILED);
  EXPECT_EQ(row.code(), RolloutDevice::DISK_FULL);
  EXPECT_FALSE(Concerns(RowEvent::kRollBack, row));
  EXPECT_FALSE(Concerns(RowEvent::kReport, row));
}

TEST(RowTest, EveryReasonOfAnAgentHasACode) {
  EXPECT_EQ(CodeOf("disk_full"), RolloutDevice::DISK_FULL);
  EXPECT_EQ(CodeOf("verify_failed"), RolloutDevice::VERIFY_FAILED);
  EXPECT_EQ(CodeOf("health_failed"), RolloutDevice::HEALTH_FAILED);
  EXPECT_EQ(CodeOf("rollback_refused"), RolloutDevice::REFUSED);
  EXPECT_EQ(CodeOf("assignment_refused"), RolloutDevice::REFUSED);
  EXPECT_EQ(CodeOf("artifact_unavailable"), RolloutDevice::ARTIFACT_UNAVAILABLE);
  EXPECT_EQ(CodeOf("state_damaged"), RolloutDevice::STATE_DAMAGED);
  EXPECT_EQ(CodeOf("something new"), RolloutDevice::OTHER);
}

}  // namespace
}  // namespace quantfleet::daemon
