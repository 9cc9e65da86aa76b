// The forward pass of the decoders that pipeline/family describes: norms, grouped-query attention
// with rotary embedding, and a feed-forward part, as the model's family has them. It runs any
// number of sequences, each with a KV cache that the caller makes and keeps.
//
// Logits do not depend on the number of threads: each output value is computed by one thread in a
// fixed order. Nor do they depend on what other sequences share a pass. Without MatrixOps
// everything but what the caches hold is F32 and they do not depend on how a sequence is cut into
// calls either; with them only rounding differs. One thread at a time.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "absl/functional/function_ref.h"
#include "engine/decode/kv_cache.h"
#include "engine/decode/rope.h"
#include "engine/decode/routing.h"
#include "engine/decode/step.h"
#include "engine/decode/weights.h"
#include "engine/kernels/attention.h"
#include "engine/kernels/matrix_ops.h"
#include "engine/kernels/thread_pool.h"
#include "engine/kernels/vector_ops.h"
#include "pipeline/model/running_memory.h"

namespace quantfleet::engine {

class Transformer {
 public:
  // `pool` and the bytes behind `weights` must outlive it. `context`: tokens of the longest
  // sequence; it decides LongRoPE's factors. Without `matrix_ops` activations stay F32 and a row is
  // decoded, then multiplied: the reference.
  static absl::StatusOr<std::unique_ptr<Transformer>> Create(const pipeline::Hyperparameters& hyper,
                                                             Weights weights, int64_t context,
                                                             ThreadPool& pool, const VectorOps& ops,
                                                             const MatrixOps* matrix_ops = nullptr);

  // Tokens that share one pass over the weights: longer sequences are cut.
  static constexpr int64_t kBatch = pipeline::kBatchTokens;

  int64_t context() const { return context_; }

  enum class Want { kNothing, kLast, kAll };
  // Appends tokens to the sequence; `logits` gets a row of vocab values for the last or for each of
  // them. INVALID_ARGUMENT for an id outside the vocabulary, and for more tokens than the cache
  // still takes.
  absl::Status Run(KvCache& cache, std::span<const int32_t> tokens, Want want,
                   std::vector<float>& logits);

  // Tokens whose logits are held at once by RunEach.
  static constexpr int64_t kJudged = 16;
  // Run, with every token's logits as `visit` wants them, one after the other, instead of all
  // together. An error of `visit` ends it.
  absl::Status RunEach(
      KvCache& cache, std::span<const int32_t> tokens,
      absl::FunctionRef<absl::Status(int64_t index, std::span<const float> logits)> visit);

  // Run, with what every token's hidden state is behind the last norm (hidden values) in place of
  // its logits. An encoder takes whole sequences, into an empty cache, and nothing else.
  absl::Status RunHidden(
      KvCache& cache, std::span<const int32_t> tokens,
      absl::FunctionRef<void(int64_t index, std::span<const float> state)> visit);

  // What weights of a layer are multiplied with.
  struct ProductInput {
    std::span<const pipeline::Role> roles;  // of the weights, which all take it
    int expert;                             // -1: not of an expert
    std::span<const ActivationRow> rows;    // as long as the weights' rows; their values count
    int64_t cols;
  };
  using OnInput = absl::FunctionRef<void(const ProductInput& input)>;
  // All values of a step, of some tokens of the sequence.
  using OnStep = absl::FunctionRef<void(Step step, std::span<const float> values)>;

  // The hidden states of tokens as they enter the first layer, in rows of hidden values.
  // INVALID_ARGUMENT for an id outside the vocabulary.
  absl::Status Embed(std::span<const int32_t> tokens, std::span<float> states) const;
  // Takes the states of a whole sequence through one layer, in place: layer after layer they become
  // what Run makes of the same tokens. The cache is emptied first, and afterwards holds that layer
  // alone. `on_input` is told of every product before it is computed. INVALID_ARGUMENT for an
  // encoder, and for more tokens than the cache takes.
  absl::Status RunThroughLayer(int layer, KvCache& cache, std::span<float> states,
                               OnInput on_input);
  // The same, told of every step as well, and behind the last layer of the head's.
  absl::Status RunThroughLayer(int layer, KvCache& cache, std::span<float> states, OnInput on_input,
                               OnStep on_step);

  // What the head makes of states that have gone through all layers, as RunEach gives it.
  absl::Status JudgeStates(
      std::span<const float> states,
      absl::FunctionRef<absl::Status(int64_t index, std::span<const float> logits)> visit);

  // One of the model's matrices; `layer` is -1 for those beside its layers. No rows: there is none.
  const Matrix& matrix(pipeline::Role role, int layer) const;
  // Runs another one of the same shape in its place, for measuring what it does; its bytes must
  // outlive its use. A head that is the embedding is replaced with it.
  void Replace(pipeline::Role role, int layer, const Matrix& matrix);

  struct Next {
    KvCache* cache;
    int32_t token;
  };
  // Appends one token to each of up to kBatch sequences in one pass over the weights. `logits` gets
  // a row of vocab values for each, bit for bit what Run would have given for it alone. Errors as
  // for Run; then no sequence has moved.
  absl::Status RunTogether(std::span<const Next> sequences, std::vector<float>& logits);

 private:
  // A matrix product to run beside others: y[t][r] = w.row(r) . x[t] (+ bias[r]).
  struct Product {
    pipeline::Role role;
    const Matrix* w;
    const std::vector<float>* bias;  // null or empty: none
    float* y;
  };

  // The same of all experts' matrices, one upon the other; y has a row per place.
  struct ExpertProduct {
    pipeline::Role role;
    const Matrix *w, *bias;  // the bias has a row per expert, or none
    float* y;
  };

  // Of a pass through experts, by place: those of an expert stand together.
  struct ExpertRoom {
    std::vector<float> scores;        // of each row of the batch, by expert
    std::vector<Choice> chosen;       // of each row, the best first
    std::vector<int64_t> place;       // of each of these
    std::vector<int64_t> first;       // an expert's first place; behind the last one their number
    std::vector<int64_t> active;      // experts that somebody chose
    std::vector<ActivationRow> rows;  // what is multiplied with, by place
    std::vector<float> gate, up, down;
  };

  // Positions of a row's sequence that are attended to at once; `first`: those of the row's next
  // parts follow.
  struct Part {
    int64_t row, begin, end;
    bool first;
  };

  // Where a row of the batch stands.
  struct Place {
    const KvCache* cache;
    int64_t position;
  };

  Transformer(const pipeline::Hyperparameters& hyper, Weights weights, Rope rope,
              std::optional<Rope> sliding_rope, int64_t context, ThreadPool& pool,
              const VectorOps& ops, const MatrixOps* matrix_ops);

  absl::Status CheckTokens(std::span<const int32_t> tokens) const;
  absl::Status Check(const KvCache& cache, std::span<const int32_t> tokens) const;
  // The tokens in passes of kBatch; `then` is told of each its first token and how many it had,
  // whose states are in x_ and whose rows the cache has.
  absl::Status RunBatches(KvCache& cache, std::span<const int32_t> tokens,
                          absl::FunctionRef<absl::Status(int64_t first, int64_t batch)> then);
  void RunBatch(KvCache& cache, std::span<const int32_t> tokens);
  void SetRow(int64_t row, const KvCache& cache, int64_t position, int32_t token);
  void EmbedToken(int32_t token, float* x) const;
  void SetPlace(int64_t row, const KvCache& cache, int64_t position);
  void RunEncoder(const KvCache& cache, std::span<const int32_t> tokens);
  void SetEncoderRow(int64_t row, const KvCache& cache, int32_t token);
  void RunEncoderLayer(int layer, int64_t batch);
  void RunLayers(int64_t batch);
  void RunLayer(int layer, int64_t batch);
  void StoreKeysAndValues(int layer, int64_t batch);
  HeadCache Cache(int64_t row, int layer, int64_t kv_head) const;
  // Adds what a part of the layer has come to, behind the norm that `role` names where the family
  // has that.
  void Join(const LayerWeights& w, pipeline::Role role, int64_t batch);
  void Attend(int layer, int64_t batch);
  void AttendBlocks(int layer, int64_t batch);
  void AttendParts(int layer);
  float* Scratch(int thread) { return scratch_.data() + thread * scratch_floats_; }
  void Head(const float* x, int64_t batch, float* logits);
  // Tells on_step_ of `count` values.
  void Show(Step step, const float* values, int64_t count) const {
    if (on_step_ != nullptr) (*on_step_)(step, {values, static_cast<size_t>(count)});
  }
  // What is in q_, k_ and v_, and what attention makes of it.
  void ShowAttention(int layer, int64_t batch);
  void ShowHead(int64_t batch);
  void Multiply(std::initializer_list<Product> products, const float* x, int64_t batch);
  // Tells on_input_ of rows that all these are multiplied with.
  template <typename SomeProduct>
  void Tell(std::initializer_list<SomeProduct> products, int expert,
            std::span<const ActivationRow> rows) const {
    if (on_input_ == nullptr) return;
    std::vector<pipeline::Role> roles;
    for (const SomeProduct& product : products) roles.push_back(product.role);
    (*on_input_)({roles, expert, rows, products.begin()->w->cols});
  }
  MultiplyRows FindMultiply(pipeline::DType type) const;  // null: the reference's way
  bool AsIntegers(const Matrix& w) const;                 // whether it is multiplied with integers
  // Leaves the rows of x in rows_, as integers too where that is wanted.
  void Prepare(int64_t cols, const float* x, int64_t batch, bool integers);
  void Quantize(int64_t cols, const float* x, int64_t batch);
  void MultiplyRange(const Product& product, int64_t begin, int64_t end,
                     std::span<const ActivationRow> x);
  void MultiplyDecoded(const Product& product, int64_t begin, int64_t end,
                       std::span<const ActivationRow> x);
  // Leaves in added_ what the layer's experts make of normed_.
  void RunExperts(int layer, int64_t batch);
  void MakeRoomForExperts(int64_t batch);
  int64_t PlaceRows(int64_t batch);  // how many places there are
  void MultiplyExperts(std::initializer_list<ExpertProduct> products, int64_t rows, int64_t places);
  void SumExperts(int64_t batch);
  // The norm that `role` names, of rows as long as its weight; `out` may be x.
  void Normalize(const LayerWeights& w, pipeline::Role role, const float* x, float* out,
                 int64_t rows) const;

  const pipeline::Family& family_;
  const pipeline::Hyperparameters hyper_;
  Weights weights_;
  const Rope rope_;
  const std::optional<Rope> sliding_rope_;  // of layers with a window, where it is another one
  const int64_t context_;
  ThreadPool& pool_;
  const VectorOps& ops_;
  const MatrixOps* const matrix_ops_;  // may be null
  const AttentionOps& attention_ops_;

  const OnInput* on_input_ = nullptr;  // while RunThroughLayer runs
  const OnStep* on_step_ = nullptr;    // while it tells of steps
  std::vector<float> shown_keys_;      // of the sequence so far, then
  bool apart_ = false;                 // the batch's rows are of unlike sequences
  // One row per token of the batch.
  std::vector<Place> places_;
  std::vector<float> x_, normed_, q_, k_, v_, attended_, gate_, up_, added_, angles_,
      sliding_angles_;
  // The batch as integers, where the weights ask for it.
  std::vector<int8_t> codes_;
  std::vector<float> code_scales_, code_sums_, code_half_sums_;
  std::vector<ActivationRow> rows_;
  ExpertRoom experts_;
  // Attention: each thread's room; the parts of rows that are attended to alone, and what came of
  // them.
  int64_t scratch_floats_ = 0;
  std::vector<float> scratch_, partials_;
  std::vector<Part> parts_;
};

}  // namespace quantfleet::engine
