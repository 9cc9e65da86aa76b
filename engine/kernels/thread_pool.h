// A few threads that share loops. Threads sleep between loops; the caller takes part in its own
// loop, so a pool of one has no threads at all. ParallelFor belongs to one caller at a time.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/functional/function_ref.h"

namespace quantfleet::engine {

class ThreadPool {
 public:
  // Fewer threads than asked for where the system gives no more.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls body(begin, end) for ranges that cover [0, n) once, and returns when all are done. What
  // the body throws (memory may be short) is thrown here, whichever thread it was, once no thread
  // is at work; parts that nobody had begun are left.
  // `grain`: ranges are no smaller than this unless n is, so that small loops stay with the caller.
  void ParallelFor(int64_t n, int64_t grain, absl::FunctionRef<void(int64_t, int64_t)> body) {
    ParallelForByThread(n, grain, [body](int, int64_t begin, int64_t end) { body(begin, end); });
  }
  // The same, with the number of the thread in front, from 0 to threads() - 1: for room that each
  // thread has of its own.
  using Body = absl::FunctionRef<void(int, int64_t, int64_t)>;
  void ParallelForByThread(int64_t n, int64_t grain, Body body);

 private:
  void Work(int thread);
  void RunParts(int thread);

  std::atomic<uint32_t> generation_{0};  // changes when a loop is there, or the end
  std::atomic<int> busy_{0};             // workers that have not finished the current loop
  std::atomic<int64_t> next_{0};         // the next part to take
  std::atomic<bool> stopping_{false};
  const Body* body_ = nullptr;
  int64_t n_ = 0, parts_ = 0;
  std::mutex failure_mutex_;
  std::exception_ptr failure_;         // what the loop's body threw first
  std::vector<std::jthread> workers_;  // last: they are joined before what they use goes
};

}  // namespace quantfleet::engine
