// Keys and values of the tokens that one sequence has passed through a transformer, in F32, F16 or
// Q8_0. Its memory is mapped when it is made, touched as it fills, and given back to the system
// when it goes. One thread at a time.
#pragma once

#include <cstddef>
#include <memory>

#include "common/base/status.h"
#include "pipeline/model/description.h"
#include "pipeline/tensor/dtype.h"

namespace quantfleet::engine {

class KvCache {
 public:
  // RESOURCE_EXHAUSTED when so many tokens do not fit memory, INVALID_ARGUMENT for a type that no
  // cache holds (pipeline/model/running_memory.h, which also says how many bytes a token takes).
  static absl::StatusOr<std::unique_ptr<KvCache>> Create(const pipeline::Hyperparameters& hyper,
                                                         pipeline::DType type, int64_t capacity);

  pipeline::DType type() const { return type_; }
  int64_t capacity() const { return capacity_; }  // tokens
  int64_t length() const { return length_; }      // tokens that are in it
  void Reset() { length_ = 0; }
  // So many tokens more are whole, in every layer.
  void Grow(int64_t tokens) { length_ += tokens; }

  int64_t row_bytes() const { return row_bytes_; }
  // Rows of one head, a position after the other.
  std::byte* Keys(int64_t layer, int64_t kv_head) const {
    return bytes_.get() + (layer * kv_heads_ + kv_head) * capacity_ * row_bytes_;
  }
  std::byte* Values(int64_t layer, int64_t kv_head) const { return Keys(layers_ + layer, kv_head); }

 private:
  KvCache(const pipeline::Hyperparameters& hyper, pipeline::DType type, int64_t capacity);

  struct Unmap {
    size_t size;
    void operator()(std::byte* bytes) const;
  };

  const pipeline::DType type_;
  const int64_t layers_, kv_heads_, row_bytes_, capacity_;
  int64_t length_ = 0;
  std::unique_ptr<std::byte, Unmap> bytes_;  // [keys, values][layer][kv head][position][row]
};

}  // namespace quantfleet::engine
