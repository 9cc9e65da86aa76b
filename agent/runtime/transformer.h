// The forward pass of the decoder family that phi3, llama and qwen2 share: RMSNorm, grouped-query attention
// with rotary embedding, SwiGLU; and the KV cache of one sequence, in F32.
//
// Logits do not depend on the number of threads: each output value is computed by one thread in a fixed
// order. Without MatrixOps everything is F32 and they do not depend on how a sequence is cut into calls
// either; with them only rounding differs. One thread at a time.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "agent/runtime/matrix_ops.h"
#include "agent/runtime/rope.h"
#include "agent/runtime/thread_pool.h"
#include "agent/runtime/vector_ops.h"
#include "agent/runtime/weights.h"

namespace quantfleet::agent {

class Transformer {
 public:
  // `pool` and the bytes behind `weights` must outlive it. RESOURCE_EXHAUSTED when the cache does not fit
  // memory. Without `matrix_ops` activations stay F32 and a row is decoded, then multiplied: the reference.
  static absl::StatusOr<std::unique_ptr<Transformer>> Create(const pipeline::Hyperparameters& hyper,
                                                             Weights weights, int64_t context,
                                                             ThreadPool& pool, const VectorOps& ops,
                                                             const MatrixOps* matrix_ops = nullptr);

  int64_t context() const { return context_; }
  int64_t length() const { return length_; }  // tokens in the cache
  void Reset() { length_ = 0; }

  enum class Want { kNothing, kLast, kAll };
  // Appends tokens to the sequence; `logits` gets a row of vocab values for the last or for each of them.
  // INVALID_ARGUMENT for an id outside the vocabulary, and for more tokens than the context still takes.
  absl::Status Run(std::span<const int32_t> tokens, Want want, std::vector<float>& logits);

 private:
  // A matrix product to run beside others: y[t][r] = w.row(r) . x[t] (+ bias[r]).
  struct Product {
    const Matrix* w;
    const std::vector<float>* bias;  // null or empty: none
    float* y;
  };

  Transformer(const pipeline::Hyperparameters& hyper, Weights weights, Rope rope, int64_t context,
              ThreadPool& pool, const VectorOps& ops, const MatrixOps* matrix_ops)
      : hyper_(hyper),
        weights_(std::move(weights)),
        rope_(std::move(rope)),
        context_(context),
        pool_(pool),
        ops_(ops),
        matrix_ops_(matrix_ops) {}

  void RunBatch(std::span<const int32_t> tokens);
  void RunLayer(int layer, int64_t batch);
  void StoreKeysAndValues(int layer, int64_t batch);
  void Attend(int layer, int64_t batch);
  void AttendHead(int layer, int64_t token, int64_t head, float* scores);
  void Multiply(std::initializer_list<Product> products, const float* x, int64_t batch);
  MultiplyRows FindMultiply(const Matrix& w) const;  // null: the reference's way
  void Quantize(int64_t cols, const float* x, int64_t batch);
  void MultiplyRange(const Product& product, int64_t begin, int64_t end, const float* x, int64_t batch);
  void MultiplyDecoded(const Product& product, int64_t begin, int64_t end, const float* x, int64_t batch);
  void Normalize(const std::vector<float>& weight, const float* x, float* out, int64_t batch) const;
  float* Keys(int layer, int64_t kv_head) const;
  float* Values(int layer, int64_t kv_head) const;

  const pipeline::Hyperparameters hyper_;
  const Weights weights_;
  const Rope rope_;
  const int64_t context_;
  ThreadPool& pool_;
  const VectorOps& ops_;
  const MatrixOps* const matrix_ops_;  // may be null

  int64_t length_ = 0;
  std::unique_ptr<float[]> cache_;  // [keys, values][layer][kv head][position][head_dim]; touched as it fills
  // One row per token of the batch.
  std::vector<float> x_, normed_, q_, k_, v_, attended_, gate_, up_, added_, angles_;
  // The batch as integers, where the weights ask for it.
  std::vector<int8_t> codes_;
  std::vector<float> code_scales_, code_sums_, code_half_sums_;
  std::vector<ActivationRow> rows_;
};

}  // namespace quantfleet::agent
