// An engine that says a given text, word by word, and can be held in the middle of it. For tests;
// thread-safe.
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "agent/runtime/engine.h"

namespace quantfleet::agent {

class FakeEngine final : public Engine {
 public:
  explicit FakeEngine(std::vector<std::string> words, std::string chat_template = "")
      : words_(std::move(words)), chat_template_(std::move(chat_template)) {}

  absl::StatusOr<GenerateResult> Generate(const GenerateRequest& request) override {
    {
      std::unique_lock lock(mutex_);
      last_ = request;
      ++begun_;
      changed_.notify_all();
      changed_.wait(lock, [this] { return !held_; });
    }
    if (!error.ok()) return error;
    GenerateResult result;
    result.prompt_tokens = 3;
    result.finish_reason = "stop";
    for (const std::string& word : words_) {
      if (static_cast<int64_t>(result.tokens.size()) == request.max_tokens) {
        result.finish_reason = "length";
        break;
      }
      if (request.on_text && !request.on_text(word)) {
        result.finish_reason = "cancelled";
        ++cancelled;
        break;
      }
      result.text += word;
      result.tokens.push_back(static_cast<int32_t>(result.tokens.size()));
    }
    while (endless_ && request.on_text("more ")) std::this_thread::yield();
    if (endless_) ++cancelled;
    return result;
  }
  absl::StatusOr<std::vector<int32_t>> Tokenize(std::string_view, bool) const override {
    return std::vector<int32_t>{1};
  }
  absl::StatusOr<EvalResult> Evaluate(std::string_view) override { return Unimplemented("fake"); }
  absl::StatusOr<EvalResult> EvaluateTokens(std::span<const int32_t>) override {
    return Unimplemented("fake");
  }
  absl::StatusOr<std::vector<float>> Logits(std::span<const int32_t>) override {
    return Unimplemented("fake");
  }
  std::string_view chat_template() const override { return chat_template_; }
  std::string_view model_name() const override { return "fake"; }
  int64_t context() const override { return 64; }
  int64_t vocab() const override { return 10; }

  GenerateRequest last() {
    std::lock_guard lock(mutex_);
    return last_;
  }
  // No generation gets past its beginning until Release.
  void Hold() {
    std::lock_guard lock(mutex_);
    held_ = true;
  }
  void Release() {
    std::lock_guard lock(mutex_);
    held_ = false;
    changed_.notify_all();
  }
  void AwaitBegun(int count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return begun_ >= count; });
  }
  // Says "more " until nobody listens.
  void SetEndless() { endless_ = true; }

  absl::Status error;
  std::atomic<int> cancelled{0};

 private:
  const std::vector<std::string> words_;
  const std::string chat_template_;
  std::mutex mutex_;
  std::condition_variable changed_;
  GenerateRequest last_;
  bool held_ = false;
  std::atomic<bool> endless_{false};
  int begun_ = 0;
};

}  // namespace quantfleet::agent
