// The embedded inference engine: a GGUF, mapped into memory, and sessions that run it. The weights
// are shared and immutable; a Session has its own KV cache and belongs to one thread at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "common/base/file.h"
#include "common/base/status.h"
#include "pipeline/model/embedding_use.h"
#include "pipeline/tensor/dtype.h"
#include "text/template/conversation.h"
#include "text/tokenizer/tokenizer.h"

namespace quantfleet::engine {

struct EngineOptions {
  int threads = 0;      // 0: as many as cores
  int64_t context = 0;  // tokens; 0: the model's own, at most 4096
  // What keys and values are kept as: F16, Q8_0 or F32 (the last for comparisons).
  pipeline::DType kv_type = pipeline::DType::kF16;
  // Bytes that the machine has left; 0: not known. A context whose cache and buffers take more is
  // RESOURCE_EXHAUSTED before anything is allocated.
  uint64_t memory_available = 0;
  // False: token ids only. A model whose tokenizer this build does not run loads too; Tokenize,
  // Generate and Evaluate then are FAILED_PRECONDITION.
  bool text = true;
  // True: activations stay F32 and sums are added in one order, for comparisons; slow.
  bool float_activations = false;
};

struct SamplingOptions {
  float temperature = 0.8f;  // 0: greedy
  int top_k = 40;            // 0: off
  float top_p = 0.95f;       // 1: off
  uint64_t seed = 0;
};

// How likely the model took a token to be, before temperature, top_k and top_p.
struct TokenProbability {
  std::string bytes;  // that the token adds to the text
  double logprob = 0;
  std::vector<std::pair<std::string, double>> top;  // the likeliest in its place, likeliest first
  int64_t offset = 0;  // of its first character in the text, in code points
};

struct GenerateRequest {
  std::string prompt;
  std::vector<text::DataRange>
      data{};  // parts of the prompt in which no control token is to be found
  int64_t max_tokens = 128;
  SamplingOptions sampling{};
  std::vector<std::string> stop{};  // the text ends before the first of these
  int top_logprobs = -1;  // 0 and more: tell each token's probability, and those of so many others
  // Called with each piece of text as soon as it is whole UTF-8, and with the tokens that have
  // shown themselves in it, where probabilities were asked for; false ends the generation
  // ("cancelled").
  std::function<bool(std::string_view piece, std::span<const TokenProbability> tokens)> on_text{};
};

// Texts, or their token ids, that are to become vectors.
struct EmbedRequest {
  struct Input {
    std::string text;
    std::vector<int32_t> ids{};  // in place of the text, and with what begins and ends one
  };
  std::vector<Input> inputs;
};

struct GenerateResult {
  std::string text;
  std::vector<int32_t> tokens;
  std::vector<TokenProbability>
      probabilities;  // where asked for; not of tokens that only made a stop string
  int64_t prompt_tokens = 0;
  std::string finish_reason;  // "stop", "length", "cancelled"
  // Of an EmbedRequest alone, in its order: vectors of length 1, dimensions() floats each.
  std::vector<std::vector<float>> embeddings;
  double prompt_seconds = 0, generation_seconds = 0;
};

// A generation, or an embedding of texts, under way. Belongs to its engine, which must outlive it,
// and is moved on by its Step alone.
class Continuation {
 public:
  virtual ~Continuation() = default;
  // Tokens that its KV cache has room for; the memory is taken by the first step.
  virtual int64_t places() const = 0;
  virtual bool done() const = 0;
  // What came of it, or of a generation has come so far.
  virtual absl::StatusOr<GenerateResult> Take() = 0;
};

struct EvalResult {
  int64_t tokens = 0;   // as tokenized, BOS included where the model adds one
  double mean_nll = 0;  // over every token that is judged but the first of all, given all before it
};

// Thread-safe; Generate, Step and Evaluate run one at a time and wait for each other. A model
// either generates text or embeds it; what is the other's is INVALID_ARGUMENT.
class Engine {
 public:
  static absl::StatusOr<std::unique_ptr<Engine>> Load(const fs::path& gguf,
                                                      const EngineOptions& options);
  virtual ~Engine() = default;

  // The text is data: "</s>" in it is four characters. In Generate's prompt it is the token of that
  // name.
  virtual absl::StatusOr<std::vector<int32_t>> Tokenize(std::string_view text,
                                                        bool add_bos) const = 0;
  // The same with what begins and ends a text that is whole, as an embedding model reads it.
  virtual absl::StatusOr<std::vector<int32_t>> TokenizeWhole(std::string_view text) const {
    return Tokenize(text, /*add_bos=*/true);
  }
  // Begin, and steps until it is done.
  absl::StatusOr<GenerateResult> Generate(const GenerateRequest& request);
  // OUT_OF_RANGE: the prompt exceeds the context.
  virtual absl::StatusOr<std::unique_ptr<Continuation>> Begin(GenerateRequest request) = 0;
  // BeginEmbedding, and steps until it is done.
  absl::StatusOr<GenerateResult> Embed(const EmbedRequest& request);
  // OUT_OF_RANGE: an input exceeds the context. INVALID_ARGUMENT names the input that is empty or
  // has an id outside the vocabulary.
  virtual absl::StatusOr<std::unique_ptr<Continuation>> BeginEmbedding(EmbedRequest request);
  // Of an embedding model; nullptr: it generates text.
  virtual const pipeline::EmbeddingUse* embedding() const { return nullptr; }
  virtual int64_t dimensions() const { return 0; }  // of its vectors
  // Moves every one that is not done: by a token, or one of those that still have prompt by a part
  // of that. They share the pass over the weights, and each gets the tokens that it would get
  // alone.
  virtual void Step(std::span<Continuation* const> continuations) = 0;
  virtual absl::StatusOr<EvalResult> Evaluate(std::string_view text) = 0;
  // `skip`: so many are read, but not judged.
  virtual absl::StatusOr<EvalResult> EvaluateTokens(std::span<const int32_t> tokens,
                                                    int64_t skip = 0) = 0;
  // Logits (vocab of them) of each token of a sequence from the `skip`th on, read from an empty
  // cache, as `visit` wants them; its error ends it. For quality measures, which need not hold all
  // of them.
  using Visit = absl::FunctionRef<absl::Status(int64_t index, std::span<const float> logits)>;
  virtual absl::Status VisitLogits(std::span<const int32_t> tokens, int64_t skip, Visit visit);
  // Those of all tokens, one row per token.
  virtual absl::StatusOr<std::vector<float>> Logits(std::span<const int32_t> tokens) = 0;
  virtual std::string_view chat_template() const = 0;
  // For chats with tools; empty: the model has no other.
  virtual std::string_view tool_template() const { return {}; }
  // What its template calls bos_token and eos_token.
  virtual text::ControlTokens control_tokens() const { return {}; }
  virtual std::string_view model_name() const = 0;
  // How to draw where nobody says: as the model's publisher recommends, and SamplingOptions' own
  // for the rest.
  virtual SamplingOptions sampling() const { return {}; }
  virtual int64_t context() const = 0;
  // That the caches of generations under way hold, as the last Step left them; given back with
  // them.
  virtual uint64_t cache_bytes() const { return 0; }
  virtual int64_t vocab() const = 0;
  // DATA_LOSS: its file is damaged, and every generation fails until it is loaded again.
  virtual absl::Status condition() const { return absl::OkStatus(); }
};

}  // namespace quantfleet::engine
