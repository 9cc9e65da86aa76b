// The codecs of groups: what each scheme promises of any group, and small ones worked out by hand.
#include "pipeline/tensor/groups.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "pipeline/tensor/codec.h"

namespace quantfleet::pipeline {
namespace {

constexpr GroupZero kZeros[] = {GroupZero::kMiddle, GroupZero::kPoint, GroupZero::kBias};

std::vector<float> RoundTrip(DType type, const std::vector<float>& values,
                             Bytes* blocks = nullptr) {
  const auto n = static_cast<int64_t>(values.size());
  Bytes encoded(static_cast<size_t>(RowBytes(type, n)));
  FindCodec(type)->encode(values.data(), 1, n, nullptr, encoded.data());
  std::vector<float> decoded(values.size());
  FindCodec(type)->decode(encoded.data(), n, decoded.data());
  if (blocks) *blocks = encoded;
  return decoded;
}

// Code i of a group whose codes begin at `at`.
int CodeAt(const Bytes& block, size_t at, int bits, int i) {
  return static_cast<int>(block[at + static_cast<size_t>(i * bits / 8)]) >> (i * bits % 8) &
         ((1 << bits) - 1);
}

std::vector<GroupScheme> Schemes() {
  std::vector<GroupScheme> schemes;
  for (const int bits : {4, 8})
    for (const int64_t elements : {16, 32, 64, 128, 256})
      for (const GroupZero zero : kZeros)
        if (FindGroupType({bits, elements, zero})) schemes.push_back({bits, elements, zero});
  EXPECT_EQ(schemes.size(), 2u * (5 + 5 + 3));
  return schemes;
}

TEST(Groups, EachSchemeIsOneType) {
  for (const GroupScheme& scheme : Schemes()) {
    const DType type = GroupType(scheme);
    const DTypeInfo& info = Info(type);
    SCOPED_TRACE(info.name);
    EXPECT_EQ(info.block_elements, scheme.elements);
    EXPECT_EQ(*DTypeFromName(info.name), type);
    ASSERT_NE(FindCodec(type), nullptr);
    EXPECT_EQ(FindCodec(type)->type, type);
    const std::optional<GroupScheme> told = GroupSchemeOf(type);
    const bool of_ggml = type == DType::kQ4_0 || type == DType::kQ8_0;
    ASSERT_NE(told.has_value(), of_ggml);
    EXPECT_EQ(DTypeFromNumber(static_cast<uint32_t>(type)).has_value(), of_ggml);
    if (!of_ggml) {
      EXPECT_EQ(GroupType(*told), type);
    }
  }
}

// Half a step around what lies between the ends, and what the scale (and bias) loses when it is
// rounded to F16.
TEST(Groups, NoValueIsFurtherThanHalfAStepAndTheRoundedScale) {
  std::mt19937 random(5);
  std::normal_distribution<float> normal;
  for (const GroupScheme& scheme : Schemes()) {
    const DType type = GroupType(scheme);
    const int levels = (1 << scheme.bits) - 1;
    for (int trial = 0; trial < 300; ++trial) {
      std::vector<float> values(static_cast<size_t>(scheme.elements));
      const float offset = trial % 3 == 0 ? 0.f : normal(random),
                  size = std::exp2(static_cast<float>(trial % 16 - 8));
      for (float& v : values) v = size * (normal(random) + offset);
      const auto [low, high] = std::ranges::minmax(values);
      const float from = scheme.zero == GroupZero::kBias ? low : std::min(low, 0.f);
      const float to = scheme.zero == GroupZero::kBias ? high : std::max(high, 0.f);
      const float largest = std::max(std::abs(low), std::abs(high));
      // Around the middle one end has a code fewer, and the value there may be one whole step off.
      const float step = scheme.zero != GroupZero::kMiddle
                             ? (to - from) / static_cast<float>(levels)
                         : scheme.bits == 4 ? 2 * largest / 8
                                            : largest / 127;
      // A scale with a bias is stretched so that 0 has a code: by half a step over the whole range
      // at most.
      const float stretched = scheme.zero == GroupZero::kBias ? 2 * step : step;
      const float bound =
          stretched * 0.501f + largest * (scheme.zero == GroupZero::kBias ? 3 : 1) / 2048;
      const std::vector<float> decoded = RoundTrip(type, values);
      for (size_t i = 0; i < values.size(); ++i)
        ASSERT_NEAR(decoded[i], values[i], bound) << Info(type).name << " " << trial << " " << i;
    }
  }
}

TEST(Groups, ZeroStaysZero) {
  for (const GroupScheme& scheme : Schemes()) {
    std::vector<float> values(static_cast<size_t>(scheme.elements), 0.f);
    for (const float v : RoundTrip(GroupType(scheme), values))
      ASSERT_EQ(v, 0.f) << Info(GroupType(scheme)).name;
    if (scheme.zero == GroupZero::kBias) continue;
    for (size_t i = 0; i < values.size(); i += 2) values[i] = 0.3f + static_cast<float>(i);
    const std::vector<float> decoded = RoundTrip(GroupType(scheme), values);
    for (size_t i = 1; i < values.size(); i += 2)
      ASSERT_EQ(decoded[i], 0.f) << Info(GroupType(scheme)).name;
  }
}

// A range of 3 in 15 steps of 0.2 (0.19995 in F16), whose 0 is code 5.
TEST(Groups, PointsByHand) {
  std::vector<float> values(32, 0.f);
  values[0] = -1.f;
  values[1] = 2.f;
  values[2] = 0.31f;  // 1.55 steps
  values[3] = -0.49f;
  Bytes block;
  RoundTrip(GroupType({4, 32, GroupZero::kPoint}), values, &block);
  ASSERT_EQ(block.size(), 19u);
  EXPECT_EQ(Load<uint16_t>(block.data()), FloatToHalf(0.2f));
  EXPECT_EQ(block[2], std::byte{5});
  EXPECT_EQ(block[3], std::byte{0xf0});  // codes 0 and 15
  EXPECT_EQ(block[4], std::byte{0x37});  // 5 + 2, 5 - 2
  EXPECT_EQ(block[5], std::byte{0x55});
  // Positive alone: 0 is the lower end.
  for (float& v : values) v = std::abs(v);
  RoundTrip(GroupType({8, 32, GroupZero::kPoint}), values, &block);
  EXPECT_EQ(block[2], std::byte{0});
  EXPECT_EQ(CodeAt(block, 3, 8, 1), 255);
  EXPECT_EQ(CodeAt(block, 3, 8, 3), 62);  // 62.475 steps
  // Negative alone: the upper one.
  for (float& v : values) v = -v;
  RoundTrip(GroupType({8, 32, GroupZero::kPoint}), values, &block);
  EXPECT_EQ(block[2], std::byte{255});
  EXPECT_EQ(CodeAt(block, 3, 8, 1), 0);
}

// The largest magnitude has code 0, whichever sign it has; eight steps reach it, and the other side
// has seven.
TEST(Groups, MiddlesByHand) {
  for (const float sign : {1.f, -1.f}) {
    std::vector<float> values(64, 0.f);
    values[9] = 4.f * sign;
    values[10] = -4.f * sign;
    values[63] = 1.f * sign;
    Bytes block;
    RoundTrip(GroupType({4, 64, GroupZero::kMiddle}), values, &block);
    ASSERT_EQ(block.size(), 34u);
    EXPECT_EQ(Load<uint16_t>(block.data()), FloatToHalf(-0.5f * sign));
    EXPECT_EQ(CodeAt(block, 2, 4, 9), 0);
    EXPECT_EQ(CodeAt(block, 2, 4, 10), 15);
    EXPECT_EQ(CodeAt(block, 2, 4, 63), 6);
    EXPECT_EQ(CodeAt(block, 2, 4, 0), 8);
    RoundTrip(GroupType({8, 64, GroupZero::kMiddle}), values, &block);
    ASSERT_EQ(block.size(), 66u);
    EXPECT_EQ(CodeAt(block, 2, 8, 9), 128 + static_cast<int>(127 * sign));
    EXPECT_EQ(CodeAt(block, 2, 8, 0), 128);
  }
}

}  // namespace
}  // namespace quantfleet::pipeline
