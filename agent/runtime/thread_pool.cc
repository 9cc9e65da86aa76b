#include "agent/runtime/thread_pool.h"

#include <algorithm>
#include <system_error>

namespace quantfleet::agent {

ThreadPool::ThreadPool(int threads) {
  try {
    for (int i = 1; i < threads; ++i) workers_.emplace_back([this] { Work(); });
  } catch (const std::system_error&) {
    // Results do not depend on the number of threads.
  }
}

ThreadPool::~ThreadPool() {
  stopping_ = true;
  ++generation_;
  generation_.notify_all();
}

void ThreadPool::RunParts() {
  for (int64_t part; (part = next_.fetch_add(1)) < parts_;)
    (*body_)(n_* part / parts_, n_ * (part + 1) / parts_);
}

void ThreadPool::Work() {
  uint32_t seen = 0;
  while (true) {
    generation_.wait(seen);  // sleeps in the kernel
    seen = generation_.load();
    if (stopping_) return;
    RunParts();
    if (busy_.fetch_sub(1) == 1) busy_.notify_one();
  }
}

void ThreadPool::ParallelFor(int64_t n, int64_t grain, const std::function<void(int64_t, int64_t)>& body) {
  const int64_t parts = std::min<int64_t>(threads(), n / std::max<int64_t>(grain, 1));
  if (parts <= 1) {
    if (n > 0) body(0, n);
    return;
  }
  body_ = &body;
  n_ = n;
  parts_ = parts;
  next_ = 0;
  busy_ = static_cast<int>(workers_.size());
  ++generation_;
  generation_.notify_all();
  RunParts();
  for (int busy; (busy = busy_.load()) != 0;) busy_.wait(busy);
}

}  // namespace quantfleet::agent
