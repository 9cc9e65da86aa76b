// Runs generations on a thread of its own, so that nothing else waits while engines compute.
// Running generations share each pass over their engine's weights and join and leave between
// passes; the others wait in order. Thread-safe.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "engine/decode/engine.h"

namespace quantfleet::agent {

struct Generation {
  std::shared_ptr<engine::Engine> engine;
  engine::GenerateRequest request;              // its on_text is the queue's
  std::optional<engine::EmbedRequest> embed{};  // in place of the request
  // Both are called on the queue's thread.
  std::function<void(std::string_view piece, std::span<const engine::TokenProbability> tokens)>
      on_text;
  std::function<void(absl::StatusOr<engine::GenerateResult>)> on_done;  // exactly once
  std::atomic<bool> cancelled{false};  // set when the answer is no longer wanted
};

class GenerationQueue {
 public:
  struct Limits {
    size_t most_waiting = 16;
    // Besides, the KV caches of the running ones together hold no more tokens than one context of
    // their engine.
    size_t most_running = 4;
  };
  struct Counts {
    size_t waiting = 0, running = 0;
    uint64_t prompt_tokens = 0, generated_tokens = 0;  // of all that ended well
  };

  explicit GenerationQueue(const Limits& limits) : limits_(limits) {
    thread_ = std::jthread([this](std::stop_token stop) { Work(stop); });
  }
  ~GenerationQueue() { Stop(); }

  // RESOURCE_EXHAUSTED when the queue is full, UNAVAILABLE when draining; on_done is not called
  // then.
  absl::Status Submit(std::shared_ptr<Generation> generation);
  // Accepts no more, and waits until all have ended; false when that takes longer than `most`.
  bool Drain(std::chrono::milliseconds most);
  // Ends everything that runs or waits with UNAVAILABLE, and accepts no more; each on_done is
  // called. For one thread at a time.
  void Stop();
  Counts counts() const;

 private:
  struct Running {
    std::shared_ptr<Generation> generation;
    std::unique_ptr<engine::Continuation> continuation;
  };

  void Work(std::stop_token stop);
  bool AwaitWork(std::stop_token stop);
  void Admit();
  void AdmitOne(std::shared_ptr<Generation> generation);
  std::shared_ptr<Generation> NextWaiting();
  bool HasRoom(const Running& one) const;
  void StepAll();
  void RemoveEnded();
  void End(Running one, absl::StatusOr<engine::GenerateResult> result);

  const Limits limits_;
  mutable std::mutex mutex_;
  std::condition_variable_any wake_, idle_;
  std::deque<std::shared_ptr<Generation>> waiting_;
  size_t in_work_ = 0;  // taken out of waiting_, not ended
  bool draining_ = false;
  Counts ended_;
  // The thread's own.
  std::vector<Running> running_;
  Running next_;  // begun, and waiting for room
  std::jthread thread_;
};

}  // namespace quantfleet::agent
