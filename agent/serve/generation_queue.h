// Generations, one after the other, on a thread of their own: engines compute, nothing else waits for them.
// Thread-safe.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "agent/runtime/engine.h"

namespace quantfleet::agent {

struct Generation {
  std::shared_ptr<Engine> engine;
  GenerateRequest request;  // its on_text is the queue's
  // Both are called on the queue's thread.
  std::function<void(std::string_view piece)> on_text;
  std::function<void(absl::StatusOr<GenerateResult>)> on_done;  // exactly once
  std::atomic<bool> cancelled{false};                           // set by whoever does not want it any more
};

class GenerationQueue {
 public:
  explicit GenerationQueue(size_t most_waiting) : most_waiting_(most_waiting) {
    thread_ = std::jthread([this](std::stop_token stop) { Work(stop); });
  }
  // Cancels what runs and what waits; each on_done is called.
  ~GenerationQueue();

  // RESOURCE_EXHAUSTED when as many wait as may; on_done is not called then.
  absl::Status Submit(std::shared_ptr<Generation> generation);

 private:
  void Work(std::stop_token stop);

  const size_t most_waiting_;
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::deque<std::shared_ptr<Generation>> waiting_;
  std::shared_ptr<Generation> running_;
  std::jthread thread_;
};

}  // namespace quantfleet::agent
