// A few threads that share loops. Threads sleep between loops; the caller takes part in its own loop, so a
// pool of one has no threads at all. ParallelFor belongs to one caller at a time.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

namespace quantfleet::agent {

class ThreadPool {
 public:
  // Fewer threads than asked for where the system gives no more.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls body(begin, end) for ranges that cover [0, n) once, and returns when all are done. `grain`: ranges
  // are no smaller than this unless n is, so that small loops stay with the caller.
  void ParallelFor(int64_t n, int64_t grain, const std::function<void(int64_t, int64_t)>& body);

 private:
  void Work();
  void RunParts();

  std::atomic<uint32_t> generation_{0};  // changes when a loop is there, or the end
  std::atomic<int> busy_{0};             // workers that have not finished the current loop
  std::atomic<int64_t> next_{0};         // the next part to take
  std::atomic<bool> stopping_{false};
  const std::function<void(int64_t, int64_t)>* body_ = nullptr;
  int64_t n_ = 0, parts_ = 0;
  std::vector<std::jthread> workers_;  // last: they are joined before what they use goes
};

}  // namespace quantfleet::agent
