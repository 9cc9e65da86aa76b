#include "agent/serve/generation_queue.h"

#include <algorithm>

namespace quantfleet::agent {

void GenerationQueue::Stop() {
  if (!thread_.joinable()) return;
  thread_.request_stop();
  thread_.join();
  std::deque<std::shared_ptr<Generation>> waiting;
  {
    std::lock_guard lock(mutex_);
    draining_ = true;
    waiting.swap(waiting_);
  }
  for (const auto& generation : waiting) generation->on_done(Unavailable("the agent is stopping"));
}

absl::Status GenerationQueue::Submit(std::shared_ptr<Generation> generation) {
  std::vector<std::shared_ptr<Generation>> left;  // by their clients; ended outside the lock
  absl::Status status;
  {
    std::lock_guard lock(mutex_);
    std::erase_if(waiting_, [&](const auto& one) {
      if (!one->cancelled) return false;
      left.push_back(one);
      return true;
    });
    if (draining_) {
      status = Unavailable("the agent is stopping");
    } else if (waiting_.size() >= limits_.most_waiting) {
      status =
          ResourceExhausted("{} requests are already waiting: try again later", waiting_.size());
    } else {
      waiting_.push_back(std::move(generation));
      wake_.notify_one();
    }
  }
  for (const auto& one : left) one->on_done(Cancelled("the client disconnected"));
  return status;
}

bool GenerationQueue::Drain(std::chrono::milliseconds most) {
  std::unique_lock lock(mutex_);
  draining_ = true;
  return idle_.wait_for(lock, most, [this] { return waiting_.empty() && in_work_ == 0; });
}

GenerationQueue::Counts GenerationQueue::counts() const {
  std::lock_guard lock(mutex_);
  Counts counts = ended_;
  counts.waiting = waiting_.size();
  counts.running = in_work_;
  return counts;
}

void GenerationQueue::Work(std::stop_token stop) {
  while (AwaitWork(stop)) {
    Admit();
    StepAll();
    RemoveEnded();
  }
  if (next_.generation != nullptr) running_.push_back(std::move(next_));
  for (Running& one : running_) End(std::move(one), Unavailable("the agent is stopping"));
}

bool GenerationQueue::AwaitWork(std::stop_token stop) {
  std::unique_lock lock(mutex_);
  if (running_.empty() && next_.generation == nullptr)
    wake_.wait(lock, stop, [this] { return !waiting_.empty(); });
  return !stop.stop_requested();
}

void GenerationQueue::Admit() {
  while (running_.size() < limits_.most_running) {
    if (next_.generation == nullptr) {
      auto generation = NextWaiting();
      if (generation == nullptr) return;
      AdmitOne(std::move(generation));
    }
    if (next_.generation == nullptr) continue;
    // The order of waiting requests is kept: small ones do not overtake large ones.
    if (!next_.generation->cancelled && !HasRoom(next_)) return;
    running_.push_back(std::move(next_));
    next_ = {};
  }
}

std::shared_ptr<Generation> GenerationQueue::NextWaiting() {
  std::lock_guard lock(mutex_);
  if (waiting_.empty()) return nullptr;
  auto generation = std::move(waiting_.front());
  waiting_.pop_front();
  ++in_work_;
  return generation;
}

void GenerationQueue::AdmitOne(std::shared_ptr<Generation> generation) {
  Running one{std::move(generation), nullptr};
  if (one.generation->cancelled) return End(std::move(one), Cancelled("the client disconnected"));
  engine::GenerateRequest& request = one.generation->request;
  request.on_text = [wanted = one.generation.get()](
                        std::string_view piece, std::span<const engine::TokenProbability> tokens) {
    if (wanted->cancelled) return false;
    wanted->on_text(piece, tokens);
    return true;
  };
  absl::StatusOr<std::unique_ptr<engine::Continuation>> begun;
  try {
    engine::Engine& engine = *one.generation->engine;
    begun = one.generation->embed ? engine.BeginEmbedding(*std::move(one.generation->embed))
                                  : engine.Begin(std::move(request));
  } catch (const std::exception& error) {
    begun = Internal("the engine failed: {}", error.what());
  }
  if (!begun.ok()) return End(std::move(one), begun.status());
  one.continuation = *std::move(begun);
  next_ = std::move(one);
}

bool GenerationQueue::HasRoom(const Running& one) const {
  const engine::Engine* engine = one.generation->engine.get();
  int64_t taken = 0;
  for (const Running& other : running_)
    if (other.generation->engine.get() == engine) taken += other.continuation->places();
  return taken == 0 || taken + one.continuation->places() <= engine->context();
}

// While a new version takes over, two engines have generations for a while.
void GenerationQueue::StepAll() {
  std::vector<engine::Engine*> engines;
  for (const Running& one : running_)
    if (std::ranges::find(engines, one.generation->engine.get()) == engines.end())
      engines.push_back(one.generation->engine.get());
  for (engine::Engine* engine : engines) {
    std::vector<engine::Continuation*> theirs;
    for (const Running& one : running_)
      if (one.generation->engine.get() == engine && !one.generation->cancelled)
        theirs.push_back(one.continuation.get());
    try {
      engine->Step(theirs);
    } catch (const std::exception& error) {
      for (Running& one : running_) {
        if (one.generation->engine.get() != engine) continue;
        End(std::move(one), Internal("the engine failed: {}", error.what()));
        one = {};
      }
      std::erase_if(running_, [](const Running& one) { return one.generation == nullptr; });
    }
  }
}

void GenerationQueue::RemoveEnded() {
  for (Running& one : running_) {
    if (!one.continuation->done() && !one.generation->cancelled) continue;
    auto result = one.continuation->Take();
    End(std::move(one), std::move(result));
    one = {};
  }
  std::erase_if(running_, [](const Running& one) { return one.generation == nullptr; });
}

void GenerationQueue::End(Running one, absl::StatusOr<engine::GenerateResult> result) {
  one.continuation.reset();
  one.generation->engine.reset();  // an engine that was replaced meanwhile goes now
  const bool ok = result.ok();
  const int64_t prompt = ok ? result->prompt_tokens : 0;
  const size_t generated = ok ? result->tokens.size() : 0;
  one.generation->on_done(std::move(result));
  std::lock_guard lock(mutex_);
  ended_.prompt_tokens += static_cast<uint64_t>(prompt);
  ended_.generated_tokens += generated;
  --in_work_;
  idle_.notify_all();
}

}  // namespace quantfleet::agent
