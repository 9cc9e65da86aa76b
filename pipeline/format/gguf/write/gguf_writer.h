// Puts a GGUF v3 header together: keys in the order they are added, tensors at the running sum of
// their padded sizes. The same calls give the same bytes. One owner, not thread-safe. Trusts its
// caller: what it writes is ours.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/format/gguf/read/gguf_file.h"

namespace quantfleet::pipeline {

class GgufWriter {
 public:
  static constexpr uint32_t kAlignment = 32;

  void AddU32(std::string_view key, uint32_t value);
  void AddI32(std::string_view key, int32_t value);
  void AddF32(std::string_view key, float value);
  void AddBool(std::string_view key, bool value);
  void AddText(std::string_view key, std::string_view value);
  void AddTexts(std::string_view key, std::span<const std::string> values);
  void AddF32s(std::string_view key, std::span<const float> values);
  void AddI32s(std::string_view key, std::span<const int32_t> values);

  // Rows of cols elements (a 1-D tensor: dims 1, rows 1; a 3-D one: the rows of all its matrices)
  // of one of ggml's types. Returns the tensor's offset from where the data begin.
  uint64_t AddTensor(std::string_view name, DType dtype, int64_t rows, int64_t cols, int dims,
                     int64_t matrices = 1);

  std::string Header() const;                        // padded to the alignment: data follow at once
  uint64_t data_size() const { return data_size_; }  // padding of the last tensor included

 private:
  void Key(std::string_view key, GgufType type);
  void Array(std::string_view key, GgufType element, uint64_t count);

  std::string kvs_, tensors_;
  uint64_t kv_count_ = 0, tensor_count_ = 0, data_size_ = 0;
};

}  // namespace quantfleet::pipeline
