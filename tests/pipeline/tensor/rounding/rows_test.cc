// Rows with one scale: what they hold, how their scale is chosen, and that feedback works on them.
#include <gtest/gtest.h>

#include <cmath>

#include "pipeline/tensor/codec.h"
#include "pipeline/tensor/half.h"
#include "pipeline/tensor/part.h"
#include "tests/pipeline/tensor/rounding/rounding_fixture.h"

namespace quantfleet::pipeline {
namespace {

constexpr int64_t kHeight = 19, kWidth = 300;  // longer than any group

class RowsTest : public ::testing::TestWithParam<DType> {
 protected:
  // Row by row, as such types are decoded.
  std::vector<float> Decode(const Bytes& rows) const {
    std::vector<float> values;
    const auto each = static_cast<size_t>(RowBytes(type_, kWidth));
    for (size_t at = 0; at < rows.size(); at += each) {
      std::vector<float> row(kWidth);
      FindCodec(type_)->decode(rows.data() + at, kWidth, row.data());
      values.insert(values.end(), row.begin(), row.end());
    }
    return values;
  }
  const DType type_ = GetParam();
  const int most_ = CodeBits(GetParam()) == 8 ? 127 : 7;
};

TEST_P(RowsTest, TheLargestValueIsTheLargestCode) {
  std::vector<float> values = testing::NormalFloats(kHeight * kWidth, 3);
  std::fill_n(values.begin() + kWidth, kWidth, 0.f);
  Bytes rows(static_cast<size_t>(kHeight * RowBytes(type_, kWidth)));
  FindCodec(type_)->encode(values.data(), kHeight, kWidth, nullptr, rows.data());
  const std::vector<float> decoded = Decode(rows);
  for (int64_t r = 0; r < kHeight; ++r) {
    float most = 0;
    for (int64_t i = 0; i < kWidth; ++i) most = std::max(most, std::fabs(values[r * kWidth + i]));
    const float scale = most / static_cast<float>(most_);
    for (int64_t i = r * kWidth; i < (r + 1) * kWidth; ++i)
      EXPECT_NEAR(decoded[i], values[i], scale * 0.501f) << r;
  }
}

// Search leaves less of what is weighed than the nearest codes, and feedback less of the products.
TEST_P(RowsTest, EachRoundingLosesLess) {
  const std::vector<float> values = testing::NormalFloats(kHeight * kWidth, 7);
  const Moments moments = MakeMoments(kWidth, 1000, 3);
  const auto factor = FactorOf(kWidth, moments.Triangle());
  ASSERT_TRUE(factor.ok());
  const std::vector<float> importance = moments.Diagonal();
  const auto weighed = [&](const std::vector<float>& decoded) {
    double error = 0;
    for (size_t i = 0; i < values.size(); ++i)
      error += importance[i % kWidth] * std::pow(values[i] - decoded[i], 2);
    return error;
  };
  Bytes nearest(static_cast<size_t>(kHeight * RowBytes(type_, kWidth)));
  FindCodec(type_)->encode(values.data(), kHeight, kWidth, nullptr, nearest.data());
  const Bytes search = RoundStrip(Rounding::kSearch, type_, values, kWidth, importance, nullptr),
              feedback =
                  RoundStrip(Rounding::kFeedback, type_, values, kWidth, importance, &*factor);
  for (const Bytes& rows : {search, feedback})
    for (int64_t r = 0; r < kHeight; ++r)
      EXPECT_GT(HalfToFloat(Load<uint16_t>(rows.data() + r * RowBytes(type_, kWidth))), 0);
  const std::vector<float> plain = Decode(nearest), searched = Decode(search),
                           fed_back = Decode(feedback);
  EXPECT_LT(weighed(searched), weighed(plain));
  EXPECT_LT(OutputError(moments, values, fed_back), 0.8 * OutputError(moments, values, searched));
}

// The scale is 1 / 127 or 1 / 7 as F16, then the codes; of those beside the middle none is beyond
// the largest.
TEST(Rows, AreTheseBytes) {
  const std::vector<float> values = {-1, 0.5f, 0.25f, 0, 1, -0.125f};
  const auto encode = [&](DType type) {
    Bytes row(static_cast<size_t>(RowBytes(type, 6)));
    FindCodec(type)->encode(values.data(), 1, 6, nullptr, row.data());
    std::vector<int> bytes;
    for (const std::byte b : row) bytes.push_back(std::to_integer<int>(b));
    return bytes;
  };
  EXPECT_EQ(encode(DType::kI8_Row),
            (std::vector<int>{0x08, 0x20, 0x81, 0x40, 0x20, 0x00, 0x7f, 0xf0}));
  EXPECT_EQ(encode(DType::kI4_Row), (std::vector<int>{0x92, 0x30, 0x49, 0x02, 0xf7}));
}

TEST(Rows, CodesFillTheirBytes) {
  EXPECT_TRUE(Divides(DType::kI8_Row, 171));
  EXPECT_TRUE(Divides(DType::kI4_Row, 172));
  EXPECT_FALSE(Divides(DType::kI4_Row, 171));
}

INSTANTIATE_TEST_SUITE_P(Types, RowsTest, ::testing::Values(DType::kI8_Row, DType::kI4_Row),
                         [](const auto& type) { return std::string(Info(type.param).name); });

}  // namespace
}  // namespace quantfleet::pipeline
