// What an embedding model makes of a text: one vector of its hidden states, behind the last norm,
// scaled to length 1. Plain values.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <vector>

namespace quantfleet::pipeline {

// Which tokens' hidden states become the vector.
enum class Pooling : uint8_t {
  kMean,  // the mean of all
  kCls,   // the first one's
  kLast,  // the last one's
};

struct EmbeddingUse {
  Pooling pooling = Pooling::kMean;
  // Lengths that a vector may be cut to, because the model was trained for that (Matryoshka):
  // those listed, or any.
  std::vector<int64_t> dimensions = {};
  bool any_dimensions = false;

  // Whether a vector of `whole` elements may be cut to `asked`.
  bool Allows(int64_t asked, int64_t whole) const {
    if (asked == whole) return true;
    if (asked < 1 || asked > whole) return false;
    return any_dimensions || std::ranges::find(dimensions, asked) != dimensions.end();
  }
};

inline std::string_view Name(Pooling pooling) {
  switch (pooling) {
    case Pooling::kMean:
      return "mean";
    case Pooling::kCls:
      return "cls";
    case Pooling::kLast:
      return "last";
  }
  return "";
}

}  // namespace quantfleet::pipeline
