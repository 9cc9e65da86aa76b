#include "pipeline/stage/overflow.h"

#include <gtest/gtest.h>

#include <vector>

#include "pipeline/tensor/codec.h"

namespace quantfleet::pipeline {
namespace {

// Every type that holds half-precision numbers says so when a finite value is too large for them.
TEST(Overflow, FinitelyLargeValuesAreFound) {
  for (const DType type :
       {DType::kF16, DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1, DType::kQ8_0,
        DType::kQ4_K, DType::kQ5_K, DType::kQ6_K, GroupType({4, 64, GroupZero::kMiddle}),
        GroupType({8, 128, GroupZero::kPoint}), GroupType({4, 32, GroupZero::kBias}),
        DType::kI8_Row, DType::kI4_Row}) {
    for (const float large : {1e12f, -1e12f}) {
      std::vector<float> values(512, 0.5f);
      values[300] = large;
      Bytes blocks(static_cast<size_t>(RowBytes(type, 512)));
      FindCodec(type)->encode(values.data(), 1, 512, nullptr, blocks.data());
      EXPECT_EQ(FindHalfOverflow(type, std::ssize(values), blocks),
                300 / BlockElements(type, 512) * BlockElements(type, 512))
          << Info(type).name << " " << large;
      values[300] = 1;
      FindCodec(type)->encode(values.data(), 1, 512, nullptr, blocks.data());
      EXPECT_EQ(FindHalfOverflow(type, std::ssize(values), blocks), -1) << Info(type).name;
    }
  }
}

// Q4_1 and Q5_1, and a bias: a minimum overflows though the scale does not.
TEST(Overflow, MinimumsToo) {
  for (const DType type : {DType::kQ4_1, DType::kQ5_1, GroupType({4, 32, GroupZero::kBias})}) {
    std::vector<float> values(32, -70000.f);
    Bytes blocks(static_cast<size_t>(RowBytes(type, 32)));
    FindCodec(type)->encode(values.data(), 1, 32, nullptr, blocks.data());
    EXPECT_EQ(FindHalfOverflow(type, std::ssize(values), blocks), 0) << Info(type).name;
  }
}

// 127 (or 8) times a scale overflows though the scale does not.
TEST(Overflow, ProductsOfCodesAndScales) {
  for (const DType type : {DType::kQ4_0, DType::kQ8_0, GroupType({4, 32, GroupZero::kPoint}),
                           GroupType({8, 32, GroupZero::kPoint})})
    for (const float large : {65600.f, -65600.f}) {
      std::vector<float> values(96, 0.5f);
      values[70] = large;
      Bytes blocks(static_cast<size_t>(RowBytes(type, 96)));
      FindCodec(type)->encode(values.data(), 1, 96, nullptr, blocks.data());
      EXPECT_EQ(FindHalfOverflow(type, std::ssize(values), blocks), -1) << Info(type).name;
      EXPECT_EQ(FindProductOverflow(type, std::ssize(values), blocks), 64)
          << Info(type).name << " " << large;
      values[70] = large > 0 ? 65000.f : -65000.f;
      FindCodec(type)->encode(values.data(), 1, 96, nullptr, blocks.data());
      EXPECT_EQ(FindProductOverflow(type, std::ssize(values), blocks), -1)
          << Info(type).name << " " << large;
    }
}

// With a bias the highest code reaches over the whole range, before the bias brings it back.
TEST(Overflow, ProductsBeforeABiasIsAdded) {
  for (const DType type :
       {DType::kQ4_1, GroupType({4, 32, GroupZero::kBias}), GroupType({8, 32, GroupZero::kBias})})
    for (const float large : {40000.f, 30000.f}) {
      std::vector<float> values(96, 0.5f);
      values[70] = large;
      values[71] = -large;
      Bytes blocks(static_cast<size_t>(RowBytes(type, 96)));
      FindCodec(type)->encode(values.data(), 1, 96, nullptr, blocks.data());
      EXPECT_EQ(FindHalfOverflow(type, std::ssize(values), blocks), -1) << Info(type).name;
      EXPECT_EQ(FindProductOverflow(type, std::ssize(values), blocks), large > 32752 ? 64 : -1)
          << Info(type).name << " " << large;
    }
}

}  // namespace
}  // namespace quantfleet::pipeline
