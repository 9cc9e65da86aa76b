#include "agent/serve/generation_queue.h"

namespace quantfleet::agent {
namespace {

absl::StatusOr<GenerateResult> Generate(Generation& generation) {
  if (generation.cancelled) return Cancelled("the client is gone");
  generation.request.on_text = [&generation](std::string_view piece) {
    if (generation.cancelled) return false;
    generation.on_text(piece);
    return true;
  };
  try {
    return generation.engine->Generate(generation.request);
  } catch (const std::exception& error) {
    return Internal("the engine failed: {}", error.what());
  }
}

}  // namespace

GenerationQueue::~GenerationQueue() {
  thread_.request_stop();
  {
    std::lock_guard lock(mutex_);
    if (running_) running_->cancelled = true;
  }
  thread_.join();
  for (const auto& generation : waiting_) generation->on_done(Unavailable("the agent is stopping"));
}

absl::Status GenerationQueue::Submit(std::shared_ptr<Generation> generation) {
  std::lock_guard lock(mutex_);
  if (waiting_.size() >= most_waiting_)
    return ResourceExhausted("{} requests wait already: try again in a moment", waiting_.size());
  waiting_.push_back(std::move(generation));
  wake_.notify_one();
  return absl::OkStatus();
}

void GenerationQueue::Work(std::stop_token stop) {
  while (true) {
    std::shared_ptr<Generation> generation;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, stop, [this] { return !waiting_.empty(); });
      if (stop.stop_requested()) return;
      generation = std::move(waiting_.front());
      waiting_.pop_front();
      running_ = generation;
    }
    auto result = Generate(*generation);
    generation->engine.reset();  // an engine that was replaced meanwhile goes now
    generation->on_done(std::move(result));
    std::lock_guard lock(mutex_);
    running_.reset();
  }
}

}  // namespace quantfleet::agent
