#include "common/base/bus_guard.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "common/base/file.h"
#include "tests/support/temp_dir.h"

namespace quantfleet {
namespace {

constexpr size_t kSize = 1 << 20;
constexpr int kWentOn = 42;

class BusGuardTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(RealFileSystem().WriteAtomically(path_, Bytes(kSize, std::byte{7})).ok());
    auto mapped = MappedFile::Map(path_);
    ASSERT_TRUE(mapped.ok());
    mapped_ = *std::move(mapped);
  }
  size_t Sum() const {
    size_t sum = 0;
    for (const std::byte b : mapped_.bytes()) sum += static_cast<size_t>(b);
    return sum;
  }

  testing::TempDir dir_;
  const fs::path path_ = dir_ / "weights";
  MappedFile mapped_;
};

TEST_F(BusGuardTest, AWholeFileIsReadAsItIs) {
  const BusGuard guard(mapped_.bytes());
  EXPECT_EQ(Sum(), 7 * kSize);
  EXPECT_FALSE(guard.hit());
}

TEST_F(BusGuardTest, AFileThatIsCutShortReadsAsZerosOnEveryThread) {
  BusGuard guard(mapped_.bytes());
  const BusGuard moved = std::move(guard);
  fs::resize_file(path_, 5000);
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back([this] { EXPECT_LE(Sum(), 7 * kSize); });
  threads.clear();
  EXPECT_TRUE(moved.hit());
  EXPECT_EQ(Sum(), 0u);
  EXPECT_FALSE(guard.hit());
  // Its place is another's afterwards, whole.
  fs::resize_file(path_, kSize);
  const auto again = MappedFile::Map(path_);
  ASSERT_TRUE(again.ok());
  const BusGuard next(again->bytes());
  EXPECT_FALSE(next.hit());
}

TEST_F(BusGuardTest, AnErrorElsewhereEndsTheProcessAsEver) {
  EXPECT_EXIT(
      {
        const fs::path other = dir_ / "other";
        RealFileSystem().WriteAtomically(other, Bytes(kSize, std::byte{7})).IgnoreError();
        const auto unguarded = MappedFile::Map(other);
        const BusGuard guard(mapped_.bytes());
        fs::resize_file(other, 0);
        volatile size_t sum = 0;
        for (const std::byte b : unguarded->bytes()) sum = sum + static_cast<size_t>(b);
        _exit(kWentOn);
      },
      // A sanitizer has a handler of its own, which reports and exits with its own code.
      [](int status) {
        return WIFSIGNALED(status) ? WTERMSIG(status) == SIGBUS : WEXITSTATUS(status) != kWentOn;
      },
      "");
}

}  // namespace
}  // namespace quantfleet
