// Parts of encoded rows, put together again by the formats' own formula, are the values that the codec
// decodes.
#include "pipeline/tensor/part.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "pipeline/tensor/codec.h"
#include "pipeline/tensor/half.h"

namespace quantfleet::pipeline {
namespace {

constexpr int64_t kRows = 5, kPartCols = 96;

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

float Half(const Bytes& bytes, int64_t i) { return HalfToFloat(Load<uint16_t>(bytes.data() + 2 * i)); }

class PartTest : public ::testing::TestWithParam<DType> {};

TEST_P(PartTest, CodesScalesAndBiasesAreTheBlocksAgain) {
  const DType type = GetParam();
  const int bits = CodeBits(type);
  for (uint32_t seed = 1; seed <= 20; ++seed) {
    const std::vector<float> values = Values(seed);
    Bytes blocks(static_cast<size_t>(kRows * RowBytes(type, kPartCols)));
    FindCodec(type)->encode(values.data(), kRows, kPartCols, nullptr, blocks.data());
    std::vector<float> decoded(values.size());
    FindCodec(type)->decode(blocks.data(), kRows * kPartCols, decoded.data());

    const Bytes codes = Take(Part::kCodes, type, blocks), scales = Take(Part::kScales, type, blocks);
    const Bytes wide = Take(Part::kScales32, type, blocks), biases = Take(Part::kBiases, type, blocks);
    const bool has_signed = HasPart(type, Part::kSignedCodes);
    const Bytes signed_codes = has_signed ? Take(Part::kSignedCodes, type, blocks) : Bytes();
    EXPECT_EQ(Take(Part::kBlocks, type, blocks), blocks);
    ASSERT_EQ(codes.size(), static_cast<size_t>(kRows * kPartCols * bits / 8));
    for (int64_t i = 0; i < kRows * kPartCols; ++i) {
      const auto byte = static_cast<unsigned>(codes[static_cast<size_t>(i * bits / 8)]);
      const unsigned code = byte >> (i * bits % 8) & ((1u << bits) - 1);
      const float scale = Half(scales, i / 32), bias = Half(biases, i / 32);
      ASSERT_EQ(Load<float>(wide.data() + 4 * (i / 32)), scale);
      // Exact in double where F32 would round the sum.
      const double value = static_cast<double>(scale) * code + bias;
      if (type == DType::kQ4_1) {
        ASSERT_NEAR(value, decoded[i], 1e-6 * std::abs(decoded[i]) + 1e-9) << i;
      } else {
        ASSERT_EQ(value, decoded[i]) << i;
      }
      if (!has_signed) continue;
      const auto in =
          static_cast<unsigned>(signed_codes[static_cast<size_t>(i * bits / 8)]) >> (i * bits % 8);
      const int turned = static_cast<int>(in & ((1u << bits) - 1));
      const int signed_code = turned >> (bits - 1) ? turned - (1 << bits) : turned;
      ASSERT_EQ(scale * static_cast<float>(signed_code), decoded[i]) << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, PartTest, ::testing::Values(DType::kQ4_0, DType::kQ4_1, DType::kQ8_0),
                         [](const auto& tested) { return std::string(Info(tested.param).name); });

TEST(Part, OtherTypesHaveWholeBlocksAlone) {
  for (const DType type : {DType::kF32, DType::kBF16, DType::kQ5_0, DType::kQ4_K, DType::kQ6_K}) {
    EXPECT_TRUE(HasPart(type, Part::kBlocks));
    for (const Part part : {Part::kCodes, Part::kSignedCodes, Part::kScales, Part::kScales32, Part::kBiases})
      EXPECT_FALSE(HasPart(type, part)) << Info(type).name;
  }
  EXPECT_EQ(PartRowBytes(Part::kCodes, DType::kQ4_0, 64), 32);
  EXPECT_EQ(PartRowBytes(Part::kCodes, DType::kQ8_0, 64), 64);
  EXPECT_EQ(PartRowBytes(Part::kSignedCodes, DType::kQ4_0, 64), 32);
  EXPECT_FALSE(HasPart(DType::kQ4_1, Part::kSignedCodes));
  EXPECT_TRUE(HoldsCodes(Part::kSignedCodes));
  EXPECT_EQ(PartRowBytes(Part::kScales, DType::kQ4_0, 64), 4);
  EXPECT_EQ(PartRowBytes(Part::kScales32, DType::kQ8_0, 64), 8);
}

}  // namespace
}  // namespace quantfleet::pipeline
