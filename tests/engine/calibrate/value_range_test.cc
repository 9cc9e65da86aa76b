// Ranges and percentiles against values in order.
#include "engine/calibrate/value_range.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>
#include <limits>

#include "tests/support/noise.h"

namespace quantfleet::engine {
namespace {

TEST(ValueRange, PercentilesAreThoseOfValuesInOrderAndATrifleOutward) {
  std::vector<float> values = testing::NormalFloats(100'000, 3);
  values[7] = 900.f;
  ValueRange range, backwards;
  range.Add(values);
  std::ranges::reverse(values);
  for (const float value : values) backwards.Add({&value, 1});
  const ActivationRange got = range.Summary("x");
  EXPECT_EQ(got.percentiles, backwards.Summary("x").percentiles);
  std::ranges::sort(values);
  EXPECT_EQ(got.name, "x");
  EXPECT_EQ(got.count, values.size());
  EXPECT_EQ(got.least, values.front());
  EXPECT_EQ(got.greatest, 900.f);
  for (size_t i = 0; i < kPercentiles.size(); ++i) {
    const bool low = kPercentiles[i] < 50;
    const auto outside = static_cast<size_t>((low ? kPercentiles[i] : 100 - kPercentiles[i]) *
                                             static_cast<double>(values.size()) / 100);
    const float wanted = low ? values[outside] : values[values.size() - 1 - outside];
    EXPECT_GE(std::abs(got.percentiles[i]), std::abs(wanted));
    EXPECT_LE(std::abs(got.percentiles[i]), std::abs(wanted) * 33 / 32);
    EXPECT_EQ(std::signbit(got.percentiles[i]), low);
  }
}

TEST(ValueRange, OneValueIsAllOfThem) {
  ValueRange range;
  range.Add(std::vector<float>(5, -0.3f));
  const ActivationRange got = range.Summary("");
  EXPECT_EQ(got.least, -0.3f);
  EXPECT_EQ(got.greatest, -0.3f);
  for (const float percentile : got.percentiles) EXPECT_EQ(percentile, -0.3f);
}

TEST(ValueRange, TellsOfWhatIsNotFinite) {
  ValueRange range;
  range.Add(std::vector<float>{1.f});
  EXPECT_TRUE(range.finite());
  range.Add(std::vector<float>{std::numeric_limits<float>::quiet_NaN()});
  EXPECT_FALSE(range.finite());
}

TEST(RangesJson, NamesEachActivation) {
  const std::vector<ActivationRange> ranges = {
      {"blk.0.attn_norm", 12, -1.5f, 2.f, {-1.f, -0.5f, 0.5f, 1.f}}};
  const auto parsed = boost::json::parse(RangesJson(ranges));
  const auto& one = parsed.at("activations").at(0);
  EXPECT_EQ(one.at("name"), "blk.0.attn_norm");
  EXPECT_EQ(one.at("values").to_number<int>(), 12);
  EXPECT_EQ(one.at("min").to_number<double>(), -1.5);
  EXPECT_EQ(one.at("percentiles").at(3).to_number<double>(), 1);
  EXPECT_EQ(parsed.at("percentiles").at(2).to_number<double>(), 99.9);
}

}  // namespace
}  // namespace quantfleet::engine
