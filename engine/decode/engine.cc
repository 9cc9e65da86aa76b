#include "engine/decode/engine.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <mutex>
#include <new>

#include "engine/decode/embedding_engine.h"
#include "engine/decode/gguf_continuation.h"
#include "engine/decode/load_chat.h"
#include "engine/decode/runnable_model.h"
#include "engine/decode/sampler.h"
#include "pipeline/model/running_memory.h"

namespace quantfleet::engine {
namespace {

using Want = Transformer::Want;

// -ln of the probability that softmax(logits) gives to `token`; NaN where a logit is.
double NegativeLogLikelihood(std::span<const float> logits, int32_t token) {
  double most = -INFINITY, sum = 0;
  for (float logit : logits) most = std::max<double>(most, logit);
  for (float logit : logits) sum += std::exp(logit - most);
  return std::log(sum) + most - logits[token];
}

class GgufEngine final : public Engine {
 public:
  static absl::StatusOr<std::unique_ptr<Engine>> Load(const fs::path& path,
                                                      const EngineOptions& options) {
    QF_ASSIGN_OR_RETURN(RunnableModel model, RunnableModel::Load(path, options));
    std::unique_ptr<text::Tokenizer> tokenizer;
    if (options.text) {
      const pipeline::ModelDescription& description = model.description;
      QF_ASSIGN_OR_RETURN(tokenizer, text::MakeTokenizer(description.tokenizer, description.name));
    }
    if (model.description.embedding) {
      model.description.tokenizer = {};
      return MakeEmbeddingEngine(std::move(model), std::move(tokenizer));
    }
    std::unique_ptr<GgufEngine> engine(new GgufEngine(std::move(model)));
    engine->tokenizer_ = std::move(tokenizer);
    engine->chat_template_ = std::move(engine->model_.description.tokenizer.chat_template);
    engine->tool_template_ = ToolTemplateOf(engine->model_.description.tokenizer);
    engine->control_tokens_ = ControlTokensOf(engine->model_.description.tokenizer);
    // The tokenizer keeps what it needs of it.
    engine->model_.description.tokenizer = {};
    return engine;
  }

  absl::StatusOr<std::vector<int32_t>> Tokenize(std::string_view text,
                                                bool add_bos) const override {
    QF_RETURN_IF_ERROR(NeedTokenizer());
    return tokenizer_->Encode(text, add_bos, /*parse_special=*/false);
  }

  absl::StatusOr<std::unique_ptr<Continuation>> Begin(GenerateRequest request) override;
  void Step(std::span<Continuation* const> continuations) override;

  absl::StatusOr<EvalResult> Evaluate(std::string_view text) override {
    QF_ASSIGN_OR_RETURN(const std::vector<int32_t> tokens, Tokenize(text, true));
    return EvaluateTokens(tokens, 0);
  }

  absl::StatusOr<EvalResult> EvaluateTokens(std::span<const int32_t> tokens, int64_t skip) override;

  absl::Status VisitLogits(std::span<const int32_t> tokens, int64_t skip, Visit visit) override;

  absl::StatusOr<std::vector<float>> Logits(std::span<const int32_t> tokens) override {
    if (static_cast<int64_t>(tokens.size()) > context())
      return InvalidArgument("{} tokens exceed the context of {}", tokens.size(), context());
    QF_ASSIGN_OR_RETURN(const auto cache, model_.MakeCache(static_cast<int64_t>(tokens.size())));
    std::lock_guard lock(mutex_);
    std::vector<float> logits;
    QF_RETURN_IF_ERROR(model_.transformer->Run(*cache, tokens, Want::kAll, logits));
    QF_RETURN_IF_ERROR(model_.Whole());
    return logits;
  }

  std::string_view chat_template() const override { return chat_template_; }
  std::string_view tool_template() const override { return tool_template_; }
  text::ControlTokens control_tokens() const override { return control_tokens_; }
  std::string_view model_name() const override { return model_.description.name; }
  SamplingOptions sampling() const override {
    return RecommendedSampling(model_.description.sampling);
  }
  int64_t context() const override { return model_.transformer->context(); }
  uint64_t cache_bytes() const override { return cache_bytes_; }
  int64_t vocab() const override { return model_.description.hyper.vocab; }
  absl::Status condition() const override { return model_.Whole(); }

 private:
  explicit GgufEngine(RunnableModel model) : model_(std::move(model)) {}
  absl::Status NeedTokenizer() const {
    if (tokenizer_ != nullptr) return absl::OkStatus();
    return FailedPrecondition(
        "the model was loaded for token ids only: load it with its tokenizer to use text");
  }
  void CountCaches(std::span<Continuation* const> continuations);
  void StepPrompt(GgufContinuation& one);
  void StepTokens(std::span<GgufContinuation* const> all);

  std::mutex mutex_;  // guards the model's transformer, and logits_
  RunnableModel model_;
  std::unique_ptr<text::Tokenizer> tokenizer_;  // null: token ids only
  std::string chat_template_, tool_template_;
  std::atomic<uint64_t> cache_bytes_{0};
  text::ControlTokens control_tokens_;
  std::vector<float> logits_;
};

absl::StatusOr<std::unique_ptr<Continuation>> GgufEngine::Begin(GenerateRequest request) {
  QF_RETURN_IF_ERROR(NeedTokenizer());
  QF_RETURN_IF_ERROR(Validate(request.sampling));
  if (request.max_tokens < 0)
    return InvalidArgument("max_tokens is {}; it must be at least 0", request.max_tokens);
  QF_ASSIGN_OR_RETURN(
      std::vector<int32_t> prompt,
      tokenizer_->Encode(request.prompt, true, /*parse_special=*/true, request.data));
  if (prompt.empty())
    return InvalidArgument("the prompt is empty, and the model has no token that begins a text");
  if (static_cast<int64_t>(prompt.size()) > context())
    return OutOfRange("the prompt has {} tokens, which exceeds the context of {}", prompt.size(),
                      context());
  return std::make_unique<GgufContinuation>(*tokenizer_, std::move(request), std::move(prompt),
                                            context());
}

void GgufEngine::Step(std::span<Continuation* const> continuations) {
  std::lock_guard lock(mutex_);
  GgufContinuation* prompting = nullptr;  // the first: prompts go one after the other
  std::vector<GgufContinuation*> generating;
  for (Continuation* continuation : continuations) {
    auto* one = static_cast<GgufContinuation*>(continuation);
    if (one->done()) continue;
    if (one->NextPrompt(1).empty())
      generating.push_back(one);
    else if (prompting == nullptr)
      prompting = one;
  }
  for (size_t at = 0; at < generating.size(); at += Transformer::kBatch)
    StepTokens(std::span(generating)
                   .subspan(at, std::min<size_t>(Transformer::kBatch, generating.size() - at)));
  if (prompting != nullptr) StepPrompt(*prompting);
  CountCaches(continuations);
}

void GgufEngine::CountCaches(std::span<Continuation* const> continuations) {
  int64_t bytes = 0;
  for (Continuation* continuation : continuations)
    if (const auto& cache = static_cast<GgufContinuation*>(continuation)->cache)
      bytes += pipeline::CacheBytes(model_.description.hyper, model_.kv_type, cache->length());
  cache_bytes_ = static_cast<uint64_t>(bytes);
}

// Parts of a prompt are cut as a whole prompt's run would cut them, and share no pass with others:
// what comes out is the same to the last bit, whoever else is served.
void GgufEngine::StepPrompt(GgufContinuation& one) {
  if (one.cache == nullptr) {
    auto cache = model_.MakeCache(one.places());
    if (!cache.ok()) return one.Fail(cache.status());
    one.cache = *std::move(cache);
  }
  const std::span<const int32_t> part = one.NextPrompt(Transformer::kBatch);
  one.PromptRan(static_cast<int64_t>(part.size()));
  const bool last = one.NextPrompt(1).empty();
  absl::Status status =
      model_.transformer->Run(*one.cache, part, last ? Want::kLast : Want::kNothing, logits_);
  if (status.ok()) status = model_.Whole();
  if (!status.ok()) return one.Fail(status);
  if (last) one.Accept(logits_);
}

void GgufEngine::StepTokens(std::span<GgufContinuation* const> all) {
  std::vector<Transformer::Next> next;
  for (GgufContinuation* one : all) next.push_back({one->cache.get(), one->token()});
  absl::Status status = model_.transformer->RunTogether(next, logits_);
  if (status.ok()) status = model_.Whole();
  const auto width = static_cast<size_t>(vocab());
  for (size_t i = 0; i < all.size(); ++i) {
    if (status.ok())
      all[i]->Accept(std::span(logits_).subspan(i * width, width));
    else
      all[i]->Fail(status);
  }
}

absl::Status GgufEngine::VisitLogits(std::span<const int32_t> tokens, int64_t skip, Visit visit) {
  const auto count = static_cast<int64_t>(tokens.size());
  if (count > context())
    return InvalidArgument("{} tokens exceed the context of {}", count, context());
  QF_ASSIGN_OR_RETURN(const auto cache, model_.MakeCache(count));
  std::lock_guard lock(mutex_);
  const auto first = static_cast<size_t>(std::clamp<int64_t>(skip, 0, count));
  std::vector<float> none;
  QF_RETURN_IF_ERROR(model_.transformer->Run(*cache, tokens.first(first), Want::kNothing, none));
  return model_.transformer->RunEach(
      *cache, tokens.subspan(first),
      [&](int64_t index, std::span<const float> logits) -> absl::Status {
        QF_RETURN_IF_ERROR(model_.Whole());
        return visit(static_cast<int64_t>(first) + index, logits);
      });
}

absl::StatusOr<EvalResult> GgufEngine::EvaluateTokens(std::span<const int32_t> tokens,
                                                      int64_t skip) {
  EvalResult result;
  result.tokens = static_cast<int64_t>(tokens.size());
  if (tokens.size() < 2)
    return InvalidArgument("the text has {} tokens; evaluating needs at least 2", tokens.size());
  if (result.tokens > context())
    return InvalidArgument(
        "the text has {} tokens, which exceeds the context of {}: shorten the text", result.tokens,
        context());

  if (skip < 0 || skip > result.tokens - 2)
    return InvalidArgument("the text has {} tokens: cannot skip {} of them", result.tokens, skip);
  // A token is judged by the logits of the one before it; nothing follows the last.
  const int64_t before = std::max<int64_t>(skip - 1, 0);
  double sum = 0;
  QF_RETURN_IF_ERROR(VisitLogits(tokens.first(tokens.size() - 1), before,
                                 [&](int64_t at, std::span<const float> logits) -> absl::Status {
                                   const int32_t next = tokens[static_cast<size_t>(at) + 1];
                                   if (next < 0 || next >= vocab())
                                     return InvalidArgument("token id {} is outside the vocabulary",
                                                            next);
                                   sum += NegativeLogLikelihood(logits, next);
                                   return absl::OkStatus();
                                 }));
  result.mean_nll = sum / static_cast<double>(result.tokens - 1 - before);
  if (!std::isfinite(result.mean_nll))
    return DataLoss("the model produces NaN or infinite logits: its weights are damaged");
  return result;
}

}  // namespace

absl::StatusOr<GenerateResult> Engine::Generate(const GenerateRequest& request) {
  QF_ASSIGN_OR_RETURN(const std::unique_ptr<Continuation> one, Begin(request));
  Continuation* const all[] = {one.get()};
  while (!one->done()) Step(all);
  return one->Take();
}

absl::StatusOr<GenerateResult> Engine::Embed(const EmbedRequest& request) {
  QF_ASSIGN_OR_RETURN(const std::unique_ptr<Continuation> one, BeginEmbedding(request));
  Continuation* const all[] = {one.get()};
  while (!one->done()) Step(all);
  return one->Take();
}

absl::StatusOr<std::unique_ptr<Continuation>> Engine::BeginEmbedding(EmbedRequest) {
  return InvalidArgument(
      "this model generates text and makes no embeddings: use an embedding model, or "
      "POST /v1/completions");
}

absl::Status Engine::VisitLogits(std::span<const int32_t> tokens, int64_t skip, Visit visit) {
  QF_ASSIGN_OR_RETURN(const std::vector<float> logits, Logits(tokens));
  const auto width = static_cast<size_t>(vocab());
  for (auto i = static_cast<size_t>(std::max<int64_t>(skip, 0)); i < tokens.size(); ++i)
    QF_RETURN_IF_ERROR(visit(static_cast<int64_t>(i), std::span(logits).subspan(i * width, width)));
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Engine>> Engine::Load(const fs::path& gguf,
                                                     const EngineOptions& options) {
  try {
    return GgufEngine::Load(gguf, options);
  } catch (const std::bad_alloc&) {
    return ResourceExhausted("{}: not enough memory to load it", gguf.string());
  }
}

}  // namespace quantfleet::engine
