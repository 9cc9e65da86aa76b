#include "agent/runtime/engine.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <mutex>
#include <new>

#include "agent/runtime/runnable_model.h"
#include "agent/runtime/sampler.h"
#include "agent/runtime/text_stream.h"
#include "agent/runtime/tokenizer.h"

namespace quantfleet::agent {
namespace {

using Want = Transformer::Want;

// Tokens whose logits are held at once while a text is judged.
constexpr size_t kJudgedAtOnce = 32;

double Seconds(std::chrono::steady_clock::time_point since) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - since).count();
}

// -ln of the probability that softmax(logits) gives to `token`; NaN where a logit is.
double NegativeLogLikelihood(std::span<const float> logits, int32_t token) {
  double most = -INFINITY, sum = 0;
  for (float logit : logits) most = std::max<double>(most, logit);
  for (float logit : logits) sum += std::exp(logit - most);
  return std::log(sum) + most - logits[token];
}

class GgufEngine final : public Engine {
 public:
  static absl::StatusOr<std::unique_ptr<Engine>> Load(const fs::path& path, const EngineOptions& options) {
    QF_ASSIGN_OR_RETURN(RunnableModel model, RunnableModel::Load(path, options));
    std::unique_ptr<GgufEngine> engine(new GgufEngine(std::move(model)));
    if (options.text) {
      const pipeline::ModelDescription& description = engine->model_.description;
      QF_ASSIGN_OR_RETURN(engine->tokenizer_, MakeTokenizer(description.tokenizer, description.name));
    }
    engine->chat_template_ = std::move(engine->model_.description.tokenizer.chat_template);
    // The tokenizer keeps what it needs of it.
    engine->model_.description.tokenizer = {};
    return engine;
  }

  absl::StatusOr<std::vector<int32_t>> Tokenize(std::string_view text, bool add_bos) const override {
    QF_RETURN_IF_ERROR(NeedTokenizer());
    return tokenizer_->Encode(text, add_bos, /*parse_special=*/false);
  }

  absl::StatusOr<GenerateResult> Generate(const GenerateRequest& request) override;

  absl::StatusOr<EvalResult> Evaluate(std::string_view text) override {
    QF_ASSIGN_OR_RETURN(const std::vector<int32_t> tokens, Tokenize(text, true));
    return EvaluateTokens(tokens);
  }

  absl::StatusOr<EvalResult> EvaluateTokens(std::span<const int32_t> tokens) override;

  absl::StatusOr<std::vector<float>> Logits(std::span<const int32_t> tokens) override {
    std::lock_guard lock(mutex_);
    model_.transformer->Reset();
    std::vector<float> logits;
    QF_RETURN_IF_ERROR(model_.transformer->Run(tokens, Want::kAll, logits));
    return logits;
  }

  std::string_view chat_template() const override { return chat_template_; }
  std::string_view model_name() const override { return model_.description.name; }
  int64_t context() const override { return model_.transformer->context(); }
  int64_t vocab() const override { return model_.description.hyper.vocab; }

 private:
  explicit GgufEngine(RunnableModel model) : model_(std::move(model)) {}
  absl::Status NeedTokenizer() const {
    if (tokenizer_ != nullptr) return absl::OkStatus();
    return FailedPrecondition(
        "the model was loaded for token ids alone; load it with its tokenizer for text");
  }
  absl::Status Continue(const GenerateRequest& request, std::vector<float>& logits, GenerateResult& result,
                        bool strip_space);

  std::mutex mutex_;  // guards the model's transformer, which has one sequence
  RunnableModel model_;
  std::unique_ptr<Tokenizer> tokenizer_;  // null: token ids only
  std::string chat_template_;
};

absl::StatusOr<GenerateResult> GgufEngine::Generate(const GenerateRequest& request) {
  QF_RETURN_IF_ERROR(NeedTokenizer());
  QF_RETURN_IF_ERROR(agent::Validate(request.sampling));
  if (request.max_tokens < 0) return InvalidArgument("max_tokens is {}, below 0", request.max_tokens);
  QF_ASSIGN_OR_RETURN(const std::vector<int32_t> prompt,
                      tokenizer_->Encode(request.prompt, true, /*parse_special=*/true));
  if (prompt.empty())
    return InvalidArgument("the prompt is empty, and the model begins with no token of its own");
  GenerateResult result;
  result.prompt_tokens = static_cast<int64_t>(prompt.size());
  if (result.prompt_tokens > context())
    return InvalidArgument("the prompt has {} tokens, the context takes {}", result.prompt_tokens, context());

  std::lock_guard lock(mutex_);
  model_.transformer->Reset();
  const auto start = std::chrono::steady_clock::now();
  std::vector<float> logits;
  QF_RETURN_IF_ERROR(model_.transformer->Run(prompt, Want::kLast, logits));
  result.prompt_seconds = Seconds(start);

  const auto prompt_end = std::chrono::steady_clock::now();
  // Text behind a control token (BOS, a turn's mark) was encoded with a space in front that it does not have.
  const bool strip_space = tokenizer_->AddsLeadingSpace() && tokenizer_->Piece(prompt.back()).empty();
  QF_RETURN_IF_ERROR(Continue(request, logits, result, strip_space));
  result.generation_seconds = Seconds(prompt_end);
  return result;
}

absl::Status GgufEngine::Continue(const GenerateRequest& request, std::vector<float>& logits,
                                  GenerateResult& result, bool strip_space) {
  Sampler sampler(request.sampling);
  TextStream stream(request.stop);
  const auto emit = [&](const std::string& text) {
    result.text += text;
    return text.empty() || !request.on_text || request.on_text(text);
  };
  while (result.finish_reason.empty()) {
    if (static_cast<int64_t>(result.tokens.size()) >= request.max_tokens) {
      result.finish_reason = "length";
      break;
    }
    QF_ASSIGN_OR_RETURN(const int32_t token, sampler.Pick(logits));
    if (tokenizer_->EndsGeneration(token)) {
      result.finish_reason = "stop";
      break;
    }
    result.tokens.push_back(token);
    std::string piece = tokenizer_->Piece(token);
    if (strip_space && !piece.empty()) {
      if (piece[0] == ' ') piece.erase(0, 1);
      strip_space = false;
    }
    if (!emit(stream.Append(piece))) {
      result.finish_reason = "cancelled";
    } else if (stream.stopped()) {
      result.finish_reason = "stop";
    } else if (model_.transformer->length() == context()) {
      result.finish_reason = "length";
    } else if (static_cast<int64_t>(result.tokens.size()) < request.max_tokens) {
      QF_RETURN_IF_ERROR(model_.transformer->Run(std::span(&token, 1), Want::kLast, logits));
    }
  }
  if (result.finish_reason != "cancelled" && !emit(stream.Finish())) result.finish_reason = "cancelled";
  return absl::OkStatus();
}

absl::StatusOr<EvalResult> GgufEngine::EvaluateTokens(std::span<const int32_t> tokens) {
  EvalResult result;
  result.tokens = static_cast<int64_t>(tokens.size());
  if (tokens.size() < 2)
    return InvalidArgument("the text has {} tokens; judging takes at least 2", tokens.size());
  if (result.tokens > context())
    return InvalidArgument("the text has {} tokens, the context takes {}; cut the text", result.tokens,
                           context());

  std::lock_guard lock(mutex_);
  model_.transformer->Reset();
  double sum = 0;
  std::vector<float> logits;
  // The last token is judged, but nothing follows it.
  for (size_t at = 0; at + 1 < tokens.size(); at += kJudgedAtOnce) {
    const auto part = tokens.subspan(at, std::min(kJudgedAtOnce, tokens.size() - 1 - at));
    QF_RETURN_IF_ERROR(model_.transformer->Run(part, Want::kAll, logits));
    const auto width = static_cast<size_t>(vocab());
    for (size_t t = 0; t < part.size(); ++t) {
      const int32_t next = tokens[at + t + 1];
      if (next < 0 || next >= vocab())
        return InvalidArgument("token id {} lies outside the vocabulary", next);
      sum += NegativeLogLikelihood(std::span(logits).subspan(t * width, width), next);
    }
  }
  result.mean_nll = sum / static_cast<double>(tokens.size() - 1);
  if (!std::isfinite(result.mean_nll))
    return DataLoss("the model yields NaN or infinite logits: its weights are damaged");
  return result;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Engine>> Engine::Load(const fs::path& gguf, const EngineOptions& options) {
  try {
    return GgufEngine::Load(gguf, options);
  } catch (const std::bad_alloc&) {
    return ResourceExhausted("{}: not enough memory to load it", gguf.string());
  }
}

}  // namespace quantfleet::agent
