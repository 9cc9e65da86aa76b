// Keys and values, in F32, of the tokens that one sequence has passed through a transformer. Its memory is
// taken when it is made, and touched as it fills. One thread at a time.
#pragma once

#include <memory>

#include "common/base/status.h"
#include "pipeline/model/description.h"

namespace quantfleet::agent {

class KvCache {
 public:
  // RESOURCE_EXHAUSTED when so many tokens do not fit memory.
  static absl::StatusOr<std::unique_ptr<KvCache>> Create(const pipeline::Hyperparameters& hyper,
                                                         int64_t capacity);

  int64_t capacity() const { return capacity_; }  // tokens
  int64_t length() const { return length_; }      // tokens that are in it
  void Reset() { length_ = 0; }
  // So many tokens more are whole, in every layer.
  void Grow(int64_t tokens) { length_ += tokens; }

  // [position][head_dim]
  float* Keys(int64_t layer, int64_t kv_head) const {
    return values_.get() + (layer * kv_heads_ + kv_head) * capacity_ * head_dim_;
  }
  float* Values(int64_t layer, int64_t kv_head) const { return Keys(layers_ + layer, kv_head); }

 private:
  KvCache(const pipeline::Hyperparameters& hyper, int64_t capacity)
      : layers_(hyper.layers), kv_heads_(hyper.kv_heads), head_dim_(hyper.head_dim), capacity_(capacity) {}

  const int64_t layers_, kv_heads_, head_dim_, capacity_;
  int64_t length_ = 0;
  std::unique_ptr<float[]> values_;  // [keys, values][layer][kv head][position][head_dim]
};

}  // namespace quantfleet::agent
