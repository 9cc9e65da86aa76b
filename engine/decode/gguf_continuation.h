// One generation of the embedded engine, without the passes through the model: which tokens are to
// go in next, and what the logits that come out become. Not thread-safe.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "engine/decode/engine.h"
#include "engine/decode/kv_cache.h"
#include "engine/decode/sampler.h"
#include "text/tokenizer/text_stream.h"

namespace quantfleet::engine {

class GgufContinuation final : public Continuation {
 public:
  // `prompt` is not empty and fits the context. The tokenizer outlives the continuation.
  GgufContinuation(const text::Tokenizer& tokenizer, GenerateRequest request,
                   std::vector<int32_t> prompt, int64_t context);

  int64_t places() const override { return places_; }
  bool done() const override { return done_; }
  absl::StatusOr<GenerateResult> Take() override;

  // What of the prompt has not been run, at most so many tokens; empty: the next is token().
  std::span<const int32_t> NextPrompt(int64_t most) const;
  void PromptRan(int64_t tokens) { prompted_ += static_cast<size_t>(tokens); }
  int32_t token() const { return result_.tokens.back(); }
  // The logits behind everything that has been run: picks a token and makes it text.
  void Accept(std::span<const float> logits);
  void Fail(absl::Status status);

  std::unique_ptr<KvCache> cache;  // whoever steps makes it, with places() tokens

 private:
  absl::Status TryAccept(std::span<const float> logits);
  void Judge(std::span<const float> logits, int32_t token, std::string_view piece);
  // False when the caller does not want more.
  bool Emit(const std::string& text, bool last);
  void End(std::string_view reason);

  using SteadyTime = std::chrono::steady_clock::time_point;

  const text::Tokenizer& tokenizer_;
  GenerateRequest request_;
  const std::vector<int32_t> prompt_;
  const int64_t context_, places_;
  size_t prompted_ = 0;  // tokens of the prompt that have been run
  Sampler sampler_;
  text::TextStream stream_;
  bool strip_space_;
  bool done_ = false;
  absl::Status status_;
  GenerateResult result_;
  struct Judged {
    TokenProbability probability;
    size_t begin;  // byte of the text at which its own begins
  };
  std::vector<Judged> judged_;  // tokens that no piece has shown yet
  const SteadyTime begun_;
  std::optional<SteadyTime> prompt_end_;
};

}  // namespace quantfleet::engine
