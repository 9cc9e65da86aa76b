#include "agent/update/health_gate.h"

#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"

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

TEST(HealthGate, LimitsAreReachedExactly) { EXPECT_OK(Gate().Check(kGood)); }

TEST(HealthGate, EachLimitHasItsCodeAndBothFigures) {
  Health health = kGood;
  health.golden_agreement = 0.74;
  EXPECT_ERROR(Gate().Check(health), kDataLoss, "74.0 %", "75.0 %");
  health = kGood;
  health.tokens_per_second = 4.99;
  EXPECT_ERROR(Gate().Check(health), kDeadlineExceeded, "4.99", "5.00");
  health = kGood;
  health.memory_available_bytes = 999;
  EXPECT_ERROR(Gate().Check(health), kResourceExhausted, "999 B", "1000 B");
}

TEST(HealthGate, WhatIsNotKnownIsNotHeldAgainstIt) {
  Health health = kGood;
  health.memory_available_bytes = 0;
  EXPECT_OK(Gate().Check(health));
  HealthGate gate = Gate();
  gate.golden.clear();
  health.golden_agreement = 0;
  EXPECT_OK(gate.Check(health));
  EXPECT_OK(HealthGate{}.Check({}));
}

}  // namespace
}  // namespace quantfleet::agent
