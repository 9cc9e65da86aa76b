// Statistics of a model's activations as files: importance as llama.cpp's tools read and write it,
// and second moments beside it (docs/formats/gguf.md). Pure.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "common/base/bytes.h"

namespace quantfleet::pipeline {

// Of the rows that one tensor was multiplied with; of a tensor of experts the rows of each.
struct ColumnStatistics {
  std::string tensor;          // "blk.0.attn_q.weight"
  std::vector<float> counts;   // rows of each matrix
  std::vector<float> sums;     // [matrix][column]
  std::vector<float> squares;  // sums of squares, the same
};

// The whole file. `source` is what the statistics were measured on, for people.
std::string ImportanceBytes(std::vector<ColumnStatistics> tensors, std::string_view source,
                            uint32_t chunks, uint32_t chunk_size);

// The file of second moments before it has values: sizes and places follow from the names alone.
class SecondMomentsLayout {
 public:
  struct Input {
    std::string tensor;  // the first that takes the input
    int64_t cols;
    int64_t matrices = 1;                  // more than 1: a triangle for each expert
    std::vector<std::string> others = {};  // that take the same input
  };
  explicit SecondMomentsLayout(std::span<const Input> inputs);

  const std::string& header() const { return header_; }
  uint64_t size() const { return size_; }  // of the whole file
  // Where the lower triangle of a matrix begins, as F32 by rows; the layout has it.
  uint64_t OffsetOf(std::string_view tensor, int64_t matrix) const;

 private:
  std::string header_;
  uint64_t size_ = 0;
  std::map<std::string, std::vector<uint64_t>, std::less<>> offsets_;
};

}  // namespace quantfleet::pipeline
