// Keys and values of the tokens that one sequence has passed through a transformer, in F32, F16 or
// Q8_0. Layers with a window keep that and the tokens of a pass, whose rows move to the front when
// their room is full: it is what has been given up that makes room. Its memory is mapped when it is
// made, touched as it fills, and given back to the system when it goes. One thread at a time.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "common/base/status.h"
#include "pipeline/model/description.h"
#include "pipeline/tensor/dtype.h"

namespace quantfleet::engine {

class KvCache {
 public:
  // RESOURCE_EXHAUSTED when so many tokens do not fit memory, INVALID_ARGUMENT for a type that no
  // cache holds (pipeline/model/running_memory.h, which also says how many bytes tokens take).
  static absl::StatusOr<std::unique_ptr<KvCache>> Create(const pipeline::Hyperparameters& hyper,
                                                         pipeline::DType type, int64_t capacity);

  pipeline::DType type() const { return type_; }
  int64_t capacity() const { return capacity_; }  // tokens
  int64_t length() const { return length_; }      // tokens that have passed
  void Reset() { length_ = base_ = 0; }
  // As if the sequence had so many of its tokens. What layers with a window have given up does not
  // come back, other rows stand in for it: good for measuring speed, not for what comes out.
  void Rewind(int64_t tokens);
  // Room for the rows of a pass of so many tokens, at most kBatchTokens, which fit the capacity;
  // before any of them is written.
  void MakeRoom(int64_t tokens);
  // So many tokens more are whole, in every layer.
  void Grow(int64_t tokens) { length_ += tokens; }

  int64_t row_bytes() const { return row_bytes_; }
  // Rows of one head, a position after the other from First on.
  std::byte* Keys(int64_t layer, int64_t kv_head) const {
    const Layer& l = layers_[static_cast<size_t>(layer)];
    return bytes_.get() + (l.begin + kv_head * l.rows) * row_bytes_;
  }
  std::byte* Values(int64_t layer, int64_t kv_head) const {
    return Keys(layer, kv_head) + all_rows_ * row_bytes_;
  }
  // The position of the layer's first row.
  int64_t First(int64_t layer) const {
    return layers_[static_cast<size_t>(layer)].rows < capacity_ ? base_ : 0;
  }

 private:
  struct Layer {
    int64_t begin, rows;  // its first row among all keys, and how many each head has
  };

  KvCache(const pipeline::Hyperparameters& hyper, pipeline::DType type, int64_t capacity);

  struct Unmap {
    size_t size;
    void operator()(std::byte* bytes) const;
  };

  const pipeline::DType type_;
  const int64_t kv_heads_, row_bytes_, capacity_, window_;
  std::vector<Layer> layers_;
  int64_t all_rows_ = 0;
  int64_t length_ = 0;
  int64_t base_ = 0;  // the position of the first row of layers that do not keep all
  std::unique_ptr<std::byte, Unmap> bytes_;  // [keys, values][layer][kv head][position][row]
};

}  // namespace quantfleet::engine
