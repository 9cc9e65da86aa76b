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

}  // namespace
}  // namespace quantfleet::agent
