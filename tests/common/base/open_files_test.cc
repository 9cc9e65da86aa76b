#include "common/base/open_files.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

namespace quantfleet {
namespace {

rlimit OpenFilesNow() {
  rlimit limit{};
  EXPECT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  return limit;
}

TEST(OpenFiles, TheLimitRisesToWhatIsWantedAndNoHigherThanTheHardOne) {
  const rlimit before = OpenFilesNow();
  rlimit low = before;
  low.rlim_cur = 64;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &low), 0);

  EXPECT_EQ(RaiseOpenFiles(100).value(), 100u);
  EXPECT_EQ(OpenFilesNow().rlim_cur, 100u);
  EXPECT_EQ(RaiseOpenFiles(80).value(), 100u) << "a limit that is higher already stays";
  EXPECT_EQ(RaiseOpenFiles(UINT64_MAX).value(), before.rlim_max);
  EXPECT_EQ(OpenFilesNow().rlim_max, before.rlim_max);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
}

}  // namespace
}  // namespace quantfleet
