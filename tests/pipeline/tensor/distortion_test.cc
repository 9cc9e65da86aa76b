#include "pipeline/tensor/distortion.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "pipeline/tensor/codec.h"

namespace quantfleet::pipeline {
namespace {

std::vector<DType> MeasuredTypes() {
  std::vector<DType> types{
      DType::kF32,  DType::kF16,  DType::kBF16,  DType::kQ6_K,   DType::kQ5_K,   DType::kQ5_1,
      DType::kQ5_0, DType::kQ4_K, DType::kQ4_1,  DType::kIQ4_NL, DType::kIQ4_XS, DType::kMXFP4,
      DType::kQ3_K, DType::kQ2_K, DType::kIQ3_S, DType::kI8_Row, DType::kI4_Row};
  for (const int bits : {4, 8})
    for (const int64_t elements : {16, 32, 64, 128, 256})
      for (const GroupZero zero : {GroupZero::kMiddle, GroupZero::kPoint, GroupZero::kBias})
        if (const auto type = FindGroupType({bits, elements, zero}))
          types.push_back(*type);  // q4_0 and q8_0 among them
  return types;
}

// A normal number out of uniform ones, the same with every standard library.
std::vector<float> NormalNumbers(size_t n) {
  std::mt19937_64 engine(11);
  const auto uniform = [&] {
    return (static_cast<double>(engine() >> 11) + 0.5) / 9007199254740992.0;
  };
  std::vector<float> values(n);
  for (float& v : values)
    v = static_cast<float>(0.02 * std::sqrt(-2 * std::log(uniform())) *
                           std::cos(2 * M_PI * uniform()));
  return values;
}

TEST(ExpectedError, IsWhatNormalWeightsLose) {
  constexpr int64_t kRows = 128, kCols = 4096;
  const std::vector<float> values = NormalNumbers(kRows * kCols);
  std::vector<float> decoded(values.size());
  for (const DType type : MeasuredTypes()) {
    const Codec& codec = *FindCodec(type);
    Bytes blocks(static_cast<size_t>(kRows * RowBytes(type, kCols)));
    codec.encode(values.data(), kRows, kCols, nullptr, blocks.data());
    for (int64_t row = 0; row < kRows; ++row)
      codec.decode(blocks.data() + row * RowBytes(type, kCols), kCols,
                   decoded.data() + row * kCols);
    double error = 0, power = 0;
    for (size_t i = 0; i < values.size(); ++i) {
      error += std::pow(static_cast<double>(decoded[i]) - values[i], 2);
      power += std::pow(static_cast<double>(values[i]), 2);
    }
    const double measured = std::sqrt(error / power), told = ExpectedError(DType::kF32, type);
    EXPECT_NEAR(measured, told, 0.01 * told) << Info(type).name;
  }
}

TEST(ExpectedError, NothingIsLostWhereTheTypeHoldsAll) {
  for (const DType type : MeasuredTypes()) {
    EXPECT_EQ(ExpectedError(type, type), 0);
    EXPECT_EQ(ExpectedError(type, DType::kF32), 0);
  }
  EXPECT_EQ(ExpectedError(DType::kBF16, DType::kF16), 0);
  EXPECT_GT(ExpectedError(DType::kF16, DType::kBF16), 0);
}

}  // namespace
}  // namespace quantfleet::pipeline
