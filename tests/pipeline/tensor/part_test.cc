// Parts of encoded rows, put together again by the formats' own formula, are the values that the
// codec decodes.
#include "pipeline/tensor/part.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "pipeline/tensor/codec.h"
#include "pipeline/tensor/half.h"

namespace quantfleet::pipeline {
namespace {

// An odd number of the largest groups: nibbles of zero points do not fill their last byte.
constexpr int64_t kRows = 5, kPartCols = 3 * 256;

std::vector<float> Values(uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(kRows * kPartCols);
  for (float& v : values)
    v = normal(random) * std::exp2(static_cast<float>(static_cast<int>(random() % 9) - 4));
  // A block of zeros, and one whose scale is subnormal.
  for (int i = 0; i < 32; ++i) values[i] = 0;
  for (int i = 32; i < 64; ++i) values[i] = 1e-6f * static_cast<float>(i - 48);
  return values;
}

Bytes Take(Part part, DType type, const Bytes& blocks) {
  Bytes out(static_cast<size_t>(kRows * PartRowBytes(part, type, kPartCols)));
  TakePart(part, type, blocks.data(), kRows, kPartCols, out.data());
  return out;
}

float Half(const Bytes& bytes, int64_t i) {
  return HalfToFloat(Load<uint16_t>(bytes.data() + 2 * i));
}

class PartTest : public ::testing::TestWithParam<DType> {};

// Number i of those that have `bits` each, in a row of so many after another: lower half first.
int Unsigned(const Bytes& bytes, int bits, int64_t i) {
  return static_cast<int>(bytes[static_cast<size_t>(i * bits / 8)]) >> (i * bits % 8) &
         ((1 << bits) - 1);
}

TEST_P(PartTest, CodesScalesAndWhatTellsTheZeroAreTheBlocksAgain) {
  const DType type = GetParam();
  const int bits = CodeBits(type);
  const int64_t group = BlockElements(type, kPartCols), per_row = kPartCols / group;
  for (uint32_t seed = 1; seed <= 20; ++seed) {
    const std::vector<float> values = Values(seed);
    Bytes blocks(static_cast<size_t>(kRows * RowBytes(type, kPartCols)));
    FindCodec(type)->encode(values.data(), kRows, kPartCols, nullptr, blocks.data());
    std::vector<float> decoded(values.size());
    for (int64_t row = 0; row < kRows; ++row)
      FindCodec(type)->decode(blocks.data() + row * RowBytes(type, kPartCols), kPartCols,
                              decoded.data() + row * kPartCols);

    const Bytes codes = Take(Part::kCodes, type, blocks),
                scales = Take(Part::kScales, type, blocks);
    const Bytes wide = Take(Part::kScales32, type, blocks);
    const auto taken = [&](Part part) {
      return HasPart(type, part) ? Take(part, type, blocks) : Bytes();
    };
    const Bytes biases = taken(Part::kBiases), points = taken(Part::kZeroPoints),
                turned = taken(Part::kSignedCodes);
    ASSERT_NE(biases.empty(), points.empty());
    EXPECT_EQ(Take(Part::kBlocks, type, blocks), blocks);
    ASSERT_EQ(codes.size(), static_cast<size_t>(kRows * kPartCols * bits / 8));
    const int64_t point_bytes = PartRowBytes(Part::kZeroPoints, type, kPartCols);
    for (int64_t i = 0; i < kRows * kPartCols; ++i) {
      const int code = Unsigned(codes, bits, i);
      const float scale = Half(scales, i / group);
      ASSERT_EQ(Load<float>(wide.data() + 4 * (i / group)), scale);
      if (!points.empty()) {
        const int64_t row = i / kPartCols, first = row * point_bytes * 8 / bits;
        const int point = Unsigned(points, bits, first + i / group - row * per_row);
        ASSERT_EQ(scale * static_cast<float>(code - point), decoded[i]) << i;
        continue;
      }
      // Exact in double where F32 would round the sum.
      const double value = static_cast<double>(scale) * code + Half(biases, i / group);
      if (turned.empty()) {
        ASSERT_NEAR(value, decoded[i], 1e-6 * std::abs(decoded[i]) + 1e-6 * std::abs(scale)) << i;
        continue;
      }
      ASSERT_EQ(value, decoded[i]) << i;
      const int two = Unsigned(turned, bits, i),
                signed_code = two >> (bits - 1) ? two - (1 << bits) : two;
      ASSERT_EQ(scale * static_cast<float>(signed_code), decoded[i]) << i;
    }
    for (int64_t row = 0; !points.empty() && row < kRows; ++row)
      for (int64_t spare = per_row; spare * bits < point_bytes * 8; ++spare)
        ASSERT_EQ(Unsigned(points, bits, row * point_bytes * 8 / bits + spare), 0) << row;
  }
}

TEST(Part, APointStreamIsFilledInAnyOrderOfRows) {
  for (const int bits : {4, 8}) {
    // An odd number of groups in each of an odd number of rows.
    const DType type = GroupType({bits, 256, GroupZero::kPoint});
    const int64_t groups = kPartCols / 256, row_bytes = RowBytes(type, kPartCols);
    const std::vector<float> values = Values(3);
    Bytes blocks(static_cast<size_t>(kRows * row_bytes));
    FindCodec(type)->encode(values.data(), kRows, kPartCols, nullptr, blocks.data());
    ASSERT_EQ(PartBytes(Part::kPointStream, type, kRows, kPartCols),
              (kRows * groups * bits + 7) / 8);
    Bytes out(static_cast<size_t>(PartBytes(Part::kPointStream, type, kRows, kPartCols)),
              std::byte{0xff});
    for (const int64_t row : {3, 0, 4, 1, 2})
      TakePart(Part::kPointStream, type, blocks.data() + row * row_bytes, 1, kPartCols, out.data(),
               row);
    for (int64_t i = 0; i < kRows * groups; ++i) {
      const int64_t at = i / groups * row_bytes + i % groups * Info(type).block_bytes;
      EXPECT_EQ(Unsigned(out, bits, i), Load<uint8_t>(blocks.data() + at + 2)) << i;
    }
    if (bits == 4) {
      EXPECT_EQ(Unsigned(out, bits, kRows * groups), 15);  // nobody's, and untouched
    }
  }
}

std::vector<DType> TypesWithCodes() {
  std::vector<DType> types{DType::kQ4_1, DType::kI8_Row, DType::kI4_Row};
  for (const int bits : {4, 8})
    for (const int64_t elements : {16, 32, 64, 128, 256})
      for (const GroupZero zero : {GroupZero::kMiddle, GroupZero::kPoint, GroupZero::kBias})
        if (const auto type = FindGroupType({bits, elements, zero}))
          types.push_back(*type);  // q4_0 and q8_0 among them
  return types;
}

INSTANTIATE_TEST_SUITE_P(All, PartTest, ::testing::ValuesIn(TypesWithCodes()),
                         [](const auto& tested) { return std::string(Info(tested.param).name); });

TEST(Part, OtherTypesHaveWholeBlocksAlone) {
  for (const DType type : {DType::kF32, DType::kBF16, DType::kQ5_0, DType::kQ4_K, DType::kQ6_K}) {
    EXPECT_TRUE(HasPart(type, Part::kBlocks));
    for (const Part part : {Part::kCodes, Part::kSignedCodes, Part::kScales, Part::kScales32,
                            Part::kBiases, Part::kZeroPoints, Part::kPointStream})
      EXPECT_FALSE(HasPart(type, part)) << Info(type).name;
  }
  EXPECT_EQ(PartRowBytes(Part::kCodes, DType::kQ4_0, 64), 32);
  EXPECT_EQ(PartRowBytes(Part::kCodes, DType::kQ8_0, 64), 64);
  EXPECT_EQ(PartRowBytes(Part::kSignedCodes, DType::kQ4_0, 64), 32);
  EXPECT_FALSE(HasPart(DType::kQ4_1, Part::kSignedCodes));
  EXPECT_TRUE(HoldsCodes(Part::kSignedCodes));
  EXPECT_EQ(PartRowBytes(Part::kScales, DType::kQ4_0, 64), 4);
  EXPECT_EQ(PartRowBytes(Part::kScales32, DType::kQ8_0, 64), 8);
  EXPECT_EQ(PartRowBytes(Part::kZeroPoints, GroupType({4, 32, GroupZero::kPoint}), 96), 2);
  EXPECT_EQ(PartRowBytes(Part::kZeroPoints, GroupType({8, 32, GroupZero::kPoint}), 96), 3);
  EXPECT_EQ(PartRowBits(Part::kPointStream, GroupType({4, 32, GroupZero::kPoint}), 96), 12);
}

}  // namespace
}  // namespace quantfleet::pipeline
