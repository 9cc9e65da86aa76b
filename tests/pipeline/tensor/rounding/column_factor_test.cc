#include "pipeline/tensor/rounding/column_factor.h"

#include <atomic>
#include <cstring>
#include <limits>
#include <thread>

#include "tests/pipeline/tensor/rounding/rounding_fixture.h"
#include "tests/support/status_matchers.h"

namespace quantfleet::pipeline {
namespace {

// L_ba of the factor, from its tiles.
double Entry(const ColumnFactor& factor, int64_t b, int64_t a) {
  return factor.tile(b / kTile, a / kTile)[a % kTile * kTile + b % kTile];
}

TEST(ColumnFactorTest, FactorTimesItselfIsWhatWasGivenAndDamped) {
  for (const int64_t n : {32, 64, 150}) {
    const Moments moments = MakeMoments(n, 4 * n, 3);
    const auto factor = FactorOf(n, moments.Triangle());
    ASSERT_OK(factor);
    EXPECT_EQ(factor->damping(), ColumnFactor::kDamping);
    double mean = 0;
    for (int64_t i = 0; i < n; ++i) mean += moments.at(i, i) / static_cast<double>(n);
    const std::vector<int32_t>& order = factor->order();
    for (int64_t i = 1; i < n; ++i)
      EXPECT_LE(moments.at(order[i - 1], order[i - 1]), moments.at(order[i], order[i]));
    for (int64_t b = 0; b < n; ++b)
      for (int64_t a = 0; a <= b; ++a) {
        double sum = 0;
        for (int64_t x = 0; x <= a; ++x) sum += Entry(*factor, b, x) * Entry(*factor, a, x);
        const double wanted =
            moments.at(order[b], order[a]) / mean + (a == b ? ColumnFactor::kDamping : 0);
        ASSERT_NEAR(sum, wanted, 2e-4 * (1 + std::fabs(wanted))) << b << ", " << a;
      }
    for (int64_t a = 0; a < n; ++a)
      EXPECT_NEAR(factor->inverse_diagonal(a / kTile)[a % kTile] * Entry(*factor, a, a), 1, 1e-6);
  }
}

// Fewer inputs than columns: the damping is what makes it definite.
TEST(ColumnFactorTest, FewInputsAreEnough) {
  constexpr int64_t kCols = 96, kInputs = 5;
  const std::vector<float> x = testing::NormalFloats(kInputs * kCols, 11);
  std::vector<float> triangle;
  for (int64_t i = 0; i < kCols; ++i)
    for (int64_t j = 0; j <= i; ++j) {
      float& sum = triangle.emplace_back();
      for (int64_t r = 0; r < kInputs; ++r) sum += x[r * kCols + i] * x[r * kCols + j];
    }
  const auto factor = FactorOf(kCols, triangle);
  ASSERT_OK(factor);
  EXPECT_EQ(factor->damping(), ColumnFactor::kDamping);
}

TEST(ColumnFactorTest, WhatIsNotPositiveDefiniteIsDampedMore) {
  // 1.05 beside ones: an eigenvalue of -.05.
  const auto factor = FactorOf(2, {1.f, 1.05f, 1.f});
  ASSERT_OK(factor);
  EXPECT_GT(factor->damping(), ColumnFactor::kDamping);
  EXPECT_ERROR(FactorOf(2, {1.f, 40.f, 1.f}), kFailedPrecondition, "positive definite");
}

TEST(ColumnFactorTest, WhatIsNoMomentIsRefused) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_ERROR(FactorOf(2, {1.f, nan, 1.f}), kInvalidArgument, "columns 1 and 0", "nan");
  EXPECT_ERROR(FactorOf(2, {1.f, 0.f, nan}), kInvalidArgument, "column 1", "nan");
  EXPECT_ERROR(FactorOf(2, {1.f, 0.f, -1.f}), kInvalidArgument, "column 1", "-1");
  // As an expert has that was never chosen.
  EXPECT_ERROR(FactorOf(2, {0.f, 0.f, 0.f}), kFailedPrecondition, "zero");
}

TEST(ColumnFactorTest, WhoRunsTheTasksChangesNoBit) {
  constexpr int64_t kCols = 400;
  const std::vector<float> triangle = MakeMoments(kCols, 4 * kCols, 5).Triangle();
  const auto read = [&](uint64_t first, std::span<float> out) {
    std::copy_n(triangle.begin() + static_cast<ptrdiff_t>(first), out.size(), out.begin());
    return absl::OkStatus();
  };
  const auto alone = ColumnFactor::Build(kCols, read);
  ASSERT_OK(alone);
  const auto expect_same = [&](const ColumnFactor::RunTasks& run) {
    const auto other = ColumnFactor::Build(kCols, read, run);
    ASSERT_OK(other);
    EXPECT_EQ(other->order(), alone->order());
    for (int64_t column = 0; column < alone->tiles(); ++column) {
      EXPECT_EQ(std::memcmp(other->inverse_diagonal(column), alone->inverse_diagonal(column),
                            kTile * sizeof(float)),
                0);
      for (int64_t row = column; row < alone->tiles(); ++row)
        EXPECT_EQ(std::memcmp(other->tile(row, column), alone->tile(row, column),
                              kTile * kTile * sizeof(float)),
                  0)
            << row << ", " << column;
    }
  };
  expect_same([](int64_t count, const ColumnFactor::Task& task) {
    for (int64_t i = count - 1; i >= 0; --i) task(i);
  });
  expect_same([](int64_t count, const ColumnFactor::Task& task) {
    std::atomic<int64_t> next = 0;
    std::vector<std::jthread> threads;
    for (int t = 0; t < 3; ++t)
      threads.emplace_back([&] {
        for (int64_t i = next++; i < count; i = next++) task(i);
      });
  });
}

// As if the moments had been divided before, but for the damping, which is divided as well.
TEST(ColumnFactorTest, ADividedInputHasTheFactorOfItsMoments) {
  constexpr int64_t kCols = 150;
  std::vector<float> triangle = MakeMoments(kCols, 4 * kCols, 5).Triangle();
  const auto build = [&] {
    return *ColumnFactor::Build(kCols, [&](uint64_t first, std::span<float> out) {
      std::copy_n(triangle.begin() + static_cast<ptrdiff_t>(first), out.size(), out.begin());
      return absl::OkStatus();
    });
  };
  ColumnFactor factor = build();
  const ColumnFactor before = factor;
  std::vector<float> by(kCols);
  for (size_t i = 0; i < by.size(); ++i) by[i] = 0.5f + static_cast<float>(i % 7);
  factor.DivideInput(by);
  EXPECT_EQ(factor.order(), before.order());
  // L * L' is what it was, divided by both columns' numbers.
  const auto product = [](const ColumnFactor& f, int64_t a, int64_t b) {
    double sum = 0;
    for (int64_t k = 0; k <= std::min(a, b); ++k)
      sum += double{f.tile(a / kTile, k / kTile)[k % kTile * kTile + a % kTile]} *
             f.tile(b / kTile, k / kTile)[k % kTile * kTile + b % kTile];
    return sum;
  };
  for (int64_t a = 0; a < kCols; a += 13)
    for (int64_t b = 0; b <= a; b += 7) {
      const double wanted = product(before, a, b) / (by[static_cast<size_t>(factor.order()[a])] *
                                                     by[static_cast<size_t>(factor.order()[b])]);
      EXPECT_NEAR(product(factor, a, b), wanted, 1e-5);
    }
  EXPECT_FLOAT_EQ(factor.inverse_diagonal(2)[3] * factor.tile(2, 2)[3 * kTile + 3], 1.f);
}

TEST(ColumnFactorTest, AnErrorOfReadingIsHandedOn) {
  const auto factor =
      ColumnFactor::Build(4, [](uint64_t, std::span<float>) { return DataLoss("cut off"); });
  EXPECT_ERROR(factor, kDataLoss, "cut off");
}

}  // namespace
}  // namespace quantfleet::pipeline
