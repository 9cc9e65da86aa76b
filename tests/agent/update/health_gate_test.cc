#include "agent/update/health_gate.h"

#include <gtest/gtest.h>

#include "tests/agent/verdict_matchers.h"

namespace quantfleet::agent {
namespace {

HealthGate Gate() {
  HealthGate gate;
  gate.policy.set_min_golden_agreement(0.75);
  gate.policy.set_min_tokens_per_second(5);
  gate.policy.set_min_memory_available_bytes(1000);
  gate.golden.emplace_back();
  return gate;
}

const Health kGood{
    .tokens_per_second = 5, .golden_agreement = 0.75, .memory_available_bytes = 1000};

TEST(HealthGate, LimitsAreReachedExactly) { EXPECT_CAME_OFF(Gate().Check(kGood)); }

TEST(HealthGate, EachLimitHasItsReasonAndBothFigures) {
  Health health = kGood;
  health.golden_agreement = 0.74;
  EXPECT_SETBACK(Gate().Check(health), kHealthFailed, "74.0 %", "75.0 %");
  health = kGood;
  health.tokens_per_second = 4.99;
  EXPECT_SETBACK(Gate().Check(health), kTooSlow, "4.99", "5.00");
  health = kGood;
  health.memory_available_bytes = 999;
  EXPECT_SETBACK(Gate().Check(health), kOutOfMemory, "999 B", "1000 B");
}

TEST(HealthGate, WhatIsNotKnownIsNotHeldAgainstIt) {
  Health health = kGood;
  health.memory_available_bytes = 0;
  EXPECT_CAME_OFF(Gate().Check(health));
  HealthGate gate = Gate();
  gate.golden.clear();
  health.golden_agreement = 0;
  EXPECT_CAME_OFF(gate.Check(health));
  EXPECT_CAME_OFF(HealthGate{}.Check({}));
}

// As daemons of every release know them.
TEST(Reason, NamesAreThoseOfTheWireAndReadBack) {
  const std::pair<Reason, std::string_view> wire[] = {
      {Reason::kRollbackRefused, "rollback_refused"},
      {Reason::kAssignmentRefused, "assignment_refused"},
      {Reason::kVerifyFailed, "verify_failed"},
      {Reason::kDiskFull, "disk_full"},
      {Reason::kHealthFailed, "health_failed"},
      {Reason::kTooSlow, "too_slow"},
      {Reason::kOutOfMemory, "out_of_memory"},
      {Reason::kArtifactUnavailable, "artifact_unavailable"},
      {Reason::kStateDamaged, "state_damaged"},
      {Reason::kOverBudget, "over_budget"},
      {Reason::kRuntimeRefused, "runtime_refused"},
      {Reason::kDamaged, "damaged"},
  };
  for (const auto& [reason, name] : wire) {
    EXPECT_EQ(NameOf(reason), name);
    EXPECT_EQ(ReasonNamed(name), reason);
    EXPECT_FALSE(Passes(reason));
  }
  for (const Reason reason : {Reason::kInterrupted, Reason::kLater, Reason::kDeviceRefused}) {
    EXPECT_EQ(NameOf(reason), "");
    EXPECT_TRUE(Passes(reason));
  }
  EXPECT_EQ(ReasonNamed(""), std::nullopt);
}

// The same code means one thing of the disk and another of the network.
TEST(Reason, ACodeBecomesAReasonWhereItIsMet) {
  EXPECT_SETBACK(OfDisk(ResourceExhausted("no room")), kDiskFull, "no room");
  EXPECT_SETBACK(OfDaemon(ResourceExhausted("too many calls")), kLater, "too many calls");
  EXPECT_SETBACK(OfDisk(PermissionDenied("read-only")), kLater, "read-only");
  EXPECT_SETBACK(OfDaemon(PermissionDenied("revoked")), kDeviceRefused, "revoked");
  EXPECT_SETBACK(OfDaemon(NotFound("gone")), kArtifactUnavailable, "gone");
  EXPECT_SETBACK(OfDisk(DataLoss("damaged")), kVerifyFailed, "damaged");
  EXPECT_SETBACK(OfDaemon(Cancelled("stopped")), kInterrupted, "stopped");
  EXPECT_CAME_OFF(OfDisk(absl::OkStatus()));
  EXPECT_SETBACK(Verdict(Reason::kTooSlow, "slow").Within("while it soaks"), kTooSlow,
                 "while it soaks: slow");
}

}  // namespace
}  // namespace quantfleet::agent
