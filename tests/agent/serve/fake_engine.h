// An engine that says a given text, word by word, and can be held in the middle of it. For tests;
// thread-safe.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "engine/decode/engine.h"
#include "tests/support/eventually.h"

namespace quantfleet::agent {

class FakeEngine : public engine::Engine {
 public:
  explicit FakeEngine(std::vector<std::string> words, std::string chat_template = "")
      : words_(std::move(words)), chat_template_(std::move(chat_template)) {}

  absl::StatusOr<std::unique_ptr<engine::Continuation>> Begin(
      engine::GenerateRequest request) override {
    std::unique_lock lock(mutex_);
    last_ = request;
    ++begun_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return !held_; });
    if (!error.ok()) return error;
    return std::make_unique<Saying>(*this, std::move(request));
  }
  void Step(std::span<engine::Continuation* const> continuations) override {
    most_together = std::max(most_together.load(), continuations.size());
    for (engine::Continuation* one : continuations) static_cast<Saying*>(one)->Say();
    if (endless_)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));  // a pass takes its time
  }
  absl::StatusOr<std::vector<int32_t>> Tokenize(std::string_view, bool) const override {
    return std::vector<int32_t>{1};
  }
  absl::StatusOr<engine::EvalResult> Evaluate(std::string_view) override {
    return Unimplemented("fake");
  }
  absl::StatusOr<engine::EvalResult> EvaluateTokens(std::span<const int32_t>, int64_t) override {
    return Unimplemented("fake");
  }
  absl::StatusOr<std::vector<float>> Logits(std::span<const int32_t>) override {
    return Unimplemented("fake");
  }
  std::string_view chat_template() const override { return chat_template_; }
  std::string_view model_name() const override { return "fake"; }
  engine::SamplingOptions sampling() const override { return recommended; }
  int64_t context() const override { return 64; }
  int64_t vocab() const override { return 10; }

  engine::GenerateRequest last() {
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
    EXPECT_TRUE(changed_.wait_for(lock, testing::kLongEnough, [&] { return begun_ >= count; }))
        << "generations that began: " << begun_;
  }
  // Says "more " until nobody listens.
  void SetEndless() { endless_ = true; }

  void SetPlaces(int64_t places) { places_ = places; }

  absl::Status error;
  engine::SamplingOptions recommended;
  std::atomic<int> cancelled{0};
  std::atomic<size_t> most_together{0};  // continuations of one step

 private:
  class Saying final : public engine::Continuation {
   public:
    Saying(FakeEngine& engine, engine::GenerateRequest request)
        : engine_(engine), words_(engine.words_), request_(std::move(request)) {
      result_.prompt_tokens = 3;
    }
    ~Saying() override {
      if (!done()) ++engine_.cancelled;
    }
    int64_t places() const override { return engine_.places_; }
    bool done() const override { return !result_.finish_reason.empty(); }
    absl::StatusOr<engine::GenerateResult> Take() override { return result_; }
    void Say() {
      const size_t said = result_.tokens.size();
      if (said == words_.size() && !engine_.endless_) {
        result_.finish_reason = "stop";
      } else if (static_cast<int64_t>(said) == request_.max_tokens && !engine_.endless_) {
        result_.finish_reason = "length";
      } else {
        const std::string word = said < words_.size() ? words_[said] : "more ";
        std::vector<engine::TokenProbability> tokens;
        if (request_.top_logprobs >= 0)
          tokens.push_back({word, -0.5, {{word, -0.5}, {"other", -1.5}}, 0});
        result_.text += word;
        result_.tokens.push_back(static_cast<int32_t>(said));
        result_.probabilities.insert(result_.probabilities.end(), tokens.begin(), tokens.end());
        if (request_.on_text) request_.on_text(word, tokens);
      }
    }

   private:
    FakeEngine& engine_;
    const std::vector<std::string> words_;
    engine::GenerateRequest request_;
    engine::GenerateResult result_;
  };

  const std::vector<std::string> words_;
  const std::string chat_template_;
  std::mutex mutex_;
  std::condition_variable changed_;
  engine::GenerateRequest last_;
  bool held_ = false;
  std::atomic<bool> endless_{false};
  int begun_ = 0;
  std::atomic<int64_t> places_{1};
};

}  // namespace quantfleet::agent
