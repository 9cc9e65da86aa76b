#include "engine/kernels/thread_pool.h"

#include <algorithm>
#include <system_error>
#include <utility>

namespace quantfleet::engine {
namespace {

// Parts of a loop for each thread: a thread that the system keeps busy elsewhere holds up one part
// alone.
constexpr int64_t kPartsPerThread = 4;

// Loops of one token follow each other within microseconds, and waking a sleeping thread takes
// longer. So a thread looks for this long (some tens of microseconds) before it sleeps; one that
// idles burns nothing.
constexpr int kLooks = 2000;

void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Returns when `value` is no longer `old`.
template <class T>
void WaitForChange(const std::atomic<T>& value, T old) {
  for (int i = 0; i < kLooks; ++i, Pause()) {
    if (value.load() != old) return;
  }
  value.wait(old);  // sleeps in the kernel
}

}  // namespace

ThreadPool::ThreadPool(int threads) {
  try {
    for (int i = 1; i < threads; ++i) workers_.emplace_back([this, i] { Work(i); });
  } catch (const std::system_error&) {
    // Results do not depend on the number of threads.
  }
}

ThreadPool::~ThreadPool() {
  stopping_ = true;
  ++generation_;
  generation_.notify_all();
}

void ThreadPool::RunParts(int thread) {
  try {
    for (int64_t part; (part = next_.fetch_add(1)) < parts_;)
      (*body_)(thread, n_* part / parts_, n_ * (part + 1) / parts_);
  } catch (...) {
    next_ = parts_;  // nobody takes another part
    std::lock_guard lock(failure_mutex_);
    if (!failure_) failure_ = std::current_exception();
  }
}

void ThreadPool::Work(int thread) {
  uint32_t seen = 0;
  while (true) {
    WaitForChange(generation_, seen);
    seen = generation_.load();
    if (stopping_) return;
    RunParts(thread);
    if (busy_.fetch_sub(1) == 1) busy_.notify_one();
  }
}

void ThreadPool::ParallelForByThread(int64_t n, int64_t grain, Body body) {
  const int64_t parts = std::min<int64_t>(workers_.empty() ? 1 : kPartsPerThread * threads(),
                                          n / std::max<int64_t>(grain, 1));
  if (parts <= 1) {
    if (n > 0) body(0, 0, n);
    return;
  }
  body_ = &body;
  n_ = n;
  parts_ = parts;
  next_ = 0;
  busy_ = static_cast<int>(workers_.size());
  ++generation_;
  generation_.notify_all();
  RunParts(0);
  for (int busy; (busy = busy_.load()) != 0;) WaitForChange(busy_, busy);
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

}  // namespace quantfleet::engine
