#include "engine/measure/kernel_benchmark.h"

#include <gtest/gtest.h>

namespace quantfleet::engine {
namespace {

TEST(KernelBenchmark, MeasuresSomethingAndEndsInTime) {
  const auto began = std::chrono::steady_clock::now();
  const double speed = MeasureKernel(Duration(1));
  EXPECT_GT(speed, 1e-4);
  EXPECT_LT(speed, 1e5);
  // One round alone on a machine that is slow under a sanitizer.
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(20));
}

}  // namespace
}  // namespace quantfleet::engine
