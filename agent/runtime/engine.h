// The embedded inference engine: a GGUF, mapped into memory, and sessions that run it. The weights are shared
// and immutable; a Session has its own KV cache and belongs to one thread at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/file.h"
#include "common/base/status.h"

namespace quantfleet::agent {

struct EngineOptions {
  int threads = 0;      // 0: as many as cores
  int64_t context = 0;  // tokens; 0: the model's own, at most 4096
  // False: token ids only. A model whose tokenizer this build does not run loads too; Tokenize, Generate and
  // Evaluate then are FAILED_PRECONDITION.
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

struct GenerateRequest {
  std::string prompt;
  int64_t max_tokens = 128;
  SamplingOptions sampling{};
  std::vector<std::string> stop{};  // the text ends before the first of these
  // Called with each piece of text as soon as it is whole UTF-8; false ends the generation ("cancelled").
  std::function<bool(std::string_view piece)> on_text{};
};

struct GenerateResult {
  std::string text;
  std::vector<int32_t> tokens;
  int64_t prompt_tokens = 0;
  std::string finish_reason;  // "stop", "length", "cancelled"
  double prompt_seconds = 0, generation_seconds = 0;
};

struct EvalResult {
  int64_t tokens = 0;   // as tokenized, BOS included where the model adds one
  double mean_nll = 0;  // over every token after the first, given all before it
};

// Thread-safe; Generate and Evaluate run one at a time and wait for each other.
class Engine {
 public:
  static absl::StatusOr<std::unique_ptr<Engine>> Load(const fs::path& gguf, const EngineOptions& options);
  virtual ~Engine() = default;

  // The text is data: "</s>" in it is four characters. In Generate's prompt it is the token of that name.
  virtual absl::StatusOr<std::vector<int32_t>> Tokenize(std::string_view text, bool add_bos) const = 0;
  virtual absl::StatusOr<GenerateResult> Generate(const GenerateRequest& request) = 0;
  virtual absl::StatusOr<EvalResult> Evaluate(std::string_view text) = 0;
  virtual absl::StatusOr<EvalResult> EvaluateTokens(std::span<const int32_t> tokens) = 0;
  // Logits (one row of vocab per token) of a whole sequence, from an empty cache. For tests and quality
  // measures.
  virtual absl::StatusOr<std::vector<float>> Logits(std::span<const int32_t> tokens) = 0;
  virtual std::string_view chat_template() const = 0;
  virtual std::string_view model_name() const = 0;
  virtual int64_t context() const = 0;
  virtual int64_t vocab() const = 0;
};

}  // namespace quantfleet::agent
