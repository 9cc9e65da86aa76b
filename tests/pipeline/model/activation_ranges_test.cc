#include "pipeline/model/activation_ranges.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/status_matchers.h"

namespace quantfleet::pipeline {
namespace {

using ::testing::HasSubstr;

std::string Of(std::string_view activations) {
  return R"({"percentiles": [], "activations": [)" + std::string(activations) + "]}";
}

TEST(ActivationRanges, AreReadByName) {
  const auto ranges = ParseActivationRanges(
      Of(R"({"name": "logits", "values": 3, "min": -1.5, "max": 2, "percentiles": []})"));
  ASSERT_OK(ranges);
  ASSERT_EQ(ranges->of.size(), 1u);
  EXPECT_EQ(ranges->of.at("logits").low, -1.5f);
  EXPECT_EQ(ranges->of.at("logits").high, 2.f);
}

TEST(ActivationRanges, WhatIsNoRangeIsRefused) {
  const auto says = [](std::string_view text) {
    return std::string(ParseActivationRanges(text).status().message());
  };
  EXPECT_THAT(says("[1"), HasSubstr("not a JSON object"));
  EXPECT_THAT(says("{}"), HasSubstr("no list of activations"));
  EXPECT_THAT(says(Of("3")), HasSubstr("activation 0 has no name"));
  EXPECT_THAT(says(Of(R"({"name": "a", "min": 1})")), HasSubstr("'a' has no min and max"));
  EXPECT_THAT(says(Of(R"({"name": "a", "min": 2, "max": 1})")), HasSubstr("in order"));
  EXPECT_THAT(says(Of(R"({"name": "a", "min": 0, "max": 1e300})")), HasSubstr("finite"));
  const std::string twice = R"({"name": "a", "min": 0, "max": 1})";
  EXPECT_THAT(says(Of(twice + "," + twice)), HasSubstr("more than once"));
}

}  // namespace
}  // namespace quantfleet::pipeline
