#include "cli/progress.h"

#include <gtest/gtest.h>

namespace quantfleet::cli {
namespace {

constexpr uint64_t kMiB = 1 << 20;

TEST(ProgressText, ShareBytesRateAndTimeLeft) {
  ProgressText text("quantize");
  EXPECT_EQ(text.Render(0, 100 * kMiB, Duration(0)), "quantize    0 %  0 B of 100.0 MiB");
  EXPECT_EQ(text.Render(20 * kMiB, 100 * kMiB, Duration(2000)),
            "quantize   20 %  20.0 MiB of 100.0 MiB  10.0 MiB/s  ETA 0:08");
  EXPECT_EQ(text.Render(100 * kMiB, 100 * kMiB, Duration(4000)),
            "quantize  100 %  100.0 MiB of 100.0 MiB  25.0 MiB/s");
}

TEST(ProgressText, TheRateIsThatOfTheLastSeconds) {
  ProgressText text("verify");
  for (int second = 0; second <= 100; ++second)
    text.Render(kMiB * static_cast<uint64_t>(second), 4096 * kMiB, Duration(second * 1000));
  EXPECT_EQ(text.Render(612 * kMiB, 4096 * kMiB, Duration(108'000)),
            "verify   14 %  612.0 MiB of 4.0 GiB  64.0 MiB/s  ETA 0:54");
}

TEST(ProgressText, NothingToDoIsDone) {
  ProgressText text("quantize");
  EXPECT_EQ(text.Render(0, 0, Duration(5)), "quantize  100 %  0 B of 0 B");
}

TEST(ProgressText, LongTimesHaveHours) {
  ProgressText text("quantize");
  text.Render(0, 8192 * kMiB, Duration(0));
  EXPECT_EQ(text.Render(kMiB, 8192 * kMiB, Duration(1000)),
            "quantize    0 %  1.0 MiB of 8.0 GiB  1.0 MiB/s  ETA 2:16:31");
}

}  // namespace
}  // namespace quantfleet::cli
