#include "engine/decode/embedding_engine.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>

#include "engine/decode/embedding.h"

namespace quantfleet::engine {
namespace {

using SteadyClock = std::chrono::steady_clock;

absl::Status GeneratesNoText() {
  return InvalidArgument(
      "this is an embedding model, which generates no text: ask it for embeddings "
      "(POST /v1/embeddings)");
}

// One request, input after input.
class EmbeddingContinuation final : public Continuation {
 public:
  explicit EmbeddingContinuation(std::vector<std::vector<int32_t>> inputs)
      : inputs_(std::move(inputs)) {
    for (const std::vector<int32_t>& ids : inputs_) {
      longest_ = std::max(longest_, static_cast<int64_t>(ids.size()));
      result_.prompt_tokens += static_cast<int64_t>(ids.size());
    }
    result_.finish_reason = "stop";
  }

  int64_t places() const override { return longest_; }
  bool done() const override {
    return !status_.ok() || result_.embeddings.size() == inputs_.size();
  }
  absl::StatusOr<GenerateResult> Take() override {
    QF_RETURN_IF_ERROR(status_);
    if (!done()) return Cancelled("not all of the inputs were embedded");
    return std::move(result_);
  }

  // Not done.
  std::span<const int32_t> next() const { return inputs_[result_.embeddings.size()]; }
  void Accept(absl::StatusOr<std::vector<float>> embedding, double seconds) {
    result_.prompt_seconds += seconds;
    if (embedding.ok())
      result_.embeddings.push_back(*std::move(embedding));
    else
      status_ = embedding.status();
  }

 private:
  const std::vector<std::vector<int32_t>> inputs_;
  int64_t longest_ = 0;
  absl::Status status_;
  GenerateResult result_;
};

class EmbeddingEngine final : public Engine {
 public:
  EmbeddingEngine(RunnableModel model, std::unique_ptr<text::Tokenizer> tokenizer)
      : model_(std::move(model)), tokenizer_(std::move(tokenizer)) {}

  absl::StatusOr<std::vector<int32_t>> Tokenize(std::string_view text,
                                                bool add_bos) const override {
    QF_RETURN_IF_ERROR(NeedTokenizer());
    return tokenizer_->Encode(text, add_bos, /*parse_special=*/false);
  }

  absl::StatusOr<std::vector<int32_t>> TokenizeWhole(std::string_view text) const override {
    QF_RETURN_IF_ERROR(NeedTokenizer());
    return tokenizer_->EncodeWhole(text, /*parse_special=*/false);
  }

  absl::StatusOr<std::unique_ptr<Continuation>> BeginEmbedding(EmbedRequest request) override {
    if (request.inputs.empty()) return InvalidArgument("there is no input to embed");
    std::vector<std::vector<int32_t>> inputs;
    for (EmbedRequest::Input& input : request.inputs) {
      const std::string name =
          request.inputs.size() == 1 ? "input" : fmt::format("input[{}]", inputs.size());
      QF_ASSIGN_OR_RETURN(std::vector<int32_t> ids, IdsOf(input, name));
      inputs.push_back(std::move(ids));
    }
    return std::make_unique<EmbeddingContinuation>(std::move(inputs));
  }

  // An input of each: nobody waits behind another's long list.
  void Step(std::span<Continuation* const> continuations) override {
    std::lock_guard lock(mutex_);
    for (Continuation* continuation : continuations) {
      auto* one = static_cast<EmbeddingContinuation*>(continuation);
      if (one->done()) continue;
      const SteadyClock::time_point begun = SteadyClock::now();
      absl::StatusOr<std::vector<float>> embedding = Pooled(one->next());
      if (const absl::Status whole = model_.Whole(); !whole.ok()) embedding = whole;
      one->Accept(std::move(embedding),
                  std::chrono::duration<double>(SteadyClock::now() - begun).count());
    }
  }

  const pipeline::EmbeddingUse* embedding() const override {
    return &*model_.description.embedding;
  }
  int64_t dimensions() const override { return model_.description.hyper.hidden; }

  absl::StatusOr<std::unique_ptr<Continuation>> Begin(GenerateRequest) override {
    return GeneratesNoText();
  }
  absl::StatusOr<EvalResult> Evaluate(std::string_view) override { return GeneratesNoText(); }
  absl::StatusOr<EvalResult> EvaluateTokens(std::span<const int32_t>, int64_t) override {
    return GeneratesNoText();
  }
  absl::StatusOr<std::vector<float>> Logits(std::span<const int32_t>) override {
    return GeneratesNoText();
  }
  std::string_view chat_template() const override { return {}; }
  std::string_view model_name() const override { return model_.description.name; }
  int64_t context() const override { return model_.context(); }
  int64_t vocab() const override { return model_.description.hyper.vocab; }
  absl::Status condition() const override { return model_.Whole(); }

 private:
  absl::Status NeedTokenizer() const {
    if (tokenizer_ != nullptr) return absl::OkStatus();
    return FailedPrecondition("the model has no tokenizer: pass token ids instead of text");
  }

  absl::StatusOr<std::vector<int32_t>> IdsOf(EmbedRequest::Input& input,
                                             const std::string& name) const {
    std::vector<int32_t> ids = std::move(input.ids);
    if (ids.empty()) {
      if (input.text.empty())
        return InvalidArgument("{} is empty: there is nothing to embed", name);
      auto whole = TokenizeWhole(input.text);
      if (!whole.ok()) return Annotate(whole.status(), name);
      ids = *std::move(whole);
    }
    if (ids.empty()) return InvalidArgument("{} has no tokens: there is nothing to embed", name);
    if (static_cast<int64_t>(ids.size()) > context())
      return OutOfRange("{} has {} tokens, which exceeds the context of {}: shorten it", name,
                        ids.size(), context());
    for (const int32_t id : ids)
      if (id < 0 || id >= vocab())
        return InvalidArgument("{}: token id {} is outside the vocabulary of {}", name, id,
                               vocab());
    return ids;
  }

  absl::StatusOr<std::vector<float>> Pooled(std::span<const int32_t> ids) {
    const auto count = static_cast<int64_t>(ids.size());
    QF_ASSIGN_OR_RETURN(const auto cache, model_.MakeCache(count));
    const auto width = static_cast<size_t>(dimensions());
    std::vector<double> sum(width, 0);
    const pipeline::Pooling pooling = embedding()->pooling;
    const auto wanted = [&](int64_t index) {
      return pooling == pipeline::Pooling::kMean ||
             index == (pooling == pipeline::Pooling::kLast ? count - 1 : 0);
    };
    QF_RETURN_IF_ERROR(model_.transformer->RunHidden(
        *cache, ids, [&](int64_t index, std::span<const float> state) {
          if (!wanted(index)) return;
          for (size_t i = 0; i < width; ++i) sum[i] += state[i];
        }));
    // What a mean would be divided by goes with the length.
    return OfLengthOne(sum);
  }

  std::mutex mutex_;  // guards what runs the model
  RunnableModel model_;
  const std::unique_ptr<text::Tokenizer> tokenizer_;  // null: token ids only
};

}  // namespace

std::unique_ptr<Engine> MakeEmbeddingEngine(RunnableModel model,
                                            std::unique_ptr<text::Tokenizer> tokenizer) {
  return std::make_unique<EmbeddingEngine>(std::move(model), std::move(tokenizer));
}

}  // namespace quantfleet::engine
