// A fixed number of threads and a bounded queue, for what must not block gRPC's own threads.
// Thread-safe.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace quantfleet::daemon {

class WorkerPool {
 public:
  WorkerPool(int threads, size_t most_waiting);
  ~WorkerPool();  // Stop()

  // False when too many tasks wait or the pool has stopped: the task will not run. Tasks must not
  // throw.
  [[nodiscard]] bool Post(std::function<void()> task);
  // Waiting tasks still run. Idempotent.
  void Stop();

 private:
  void Work();

  const size_t most_waiting_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> tasks_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace quantfleet::daemon
