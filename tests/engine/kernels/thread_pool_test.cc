#include "engine/kernels/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <new>

namespace quantfleet::engine {
namespace {

TEST(ThreadPool, EveryItemIsDoneOnce) {
  for (int threads : {1, 2, 4}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.threads(), threads);
    for (int64_t n : {0, 1, 2, 3, 7, 1000}) {
      for (int64_t grain : {0, 1, 5, 2000}) {
        std::vector<std::atomic<int>> done(static_cast<size_t>(n));
        pool.ParallelFor(n, grain, [&](int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; ++i) ++done[i];
        });
        for (const auto& times : done) ASSERT_EQ(times, 1) << n << " items, grain " << grain;
      }
    }
  }
}

// Memory may be short anywhere: it is the caller's loop that fails, not the process.
TEST(ThreadPool, WhatAnyThreadThrowsReachesTheCaller) {
  for (int threads : {1, 2, 4}) {
    ThreadPool pool(threads);
    for (int64_t failing : {0, 1, 500, 999}) {
      const auto body = [&](int64_t begin, int64_t end) {
        if (begin <= failing && failing < end) throw std::bad_alloc();
      };
      EXPECT_THROW(pool.ParallelFor(1000, 1, body), std::bad_alloc);
      std::atomic<int64_t> done = 0;  // and the next loop is whole
      pool.ParallelFor(1000, 1, [&](int64_t begin, int64_t end) { done += end - begin; });
      EXPECT_EQ(done, 1000);
    }
  }
}

TEST(ThreadPool, ManyLoopsInARow) {
  ThreadPool pool(3);
  std::vector<int64_t> values(64, 0);
  for (int round = 0; round < 5000; ++round)
    pool.ParallelFor(64, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) values[i] += i;
    });
  for (int64_t i = 0; i < 64; ++i) ASSERT_EQ(values[i], 5000 * i);
}

// Room that each thread has of its own is used by no two parts at once.
TEST(ThreadPool, PartsOfOneNumberFollowEachOther) {
  ThreadPool pool(3);
  std::vector<std::atomic<int>> inside(3);
  std::atomic<int64_t> done{0};
  for (int loop = 0; loop < 50; ++loop) {
    pool.ParallelForByThread(24, 1, [&](int thread, int64_t begin, int64_t end) {
      ASSERT_TRUE(thread >= 0 && thread < pool.threads());
      EXPECT_EQ(inside[static_cast<size_t>(thread)].fetch_add(1), 0);
      done += end - begin;
      inside[static_cast<size_t>(thread)].fetch_sub(1);
    });
  }
  EXPECT_EQ(done, 50 * 24);
}

}  // namespace
}  // namespace quantfleet::engine
