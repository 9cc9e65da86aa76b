// What turns a piece of a text into ids: one of the kinds of models in a tokenizer's file.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace quantfleet::text {

// What stands for bytes of a text that no token covers.
inline constexpr int32_t kNoToken = -1;

class Model {
 public:
  virtual ~Model() = default;
  // Appends the ids of a piece, which is not empty; kNoToken where the model has none.
  virtual void Encode(std::string_view piece, std::vector<int32_t>& out) const = 0;
};

// What models are made of, index = id.
struct Vocabulary {
  std::vector<std::string> texts;
  std::vector<double> scores;   // empty, or one each
  std::vector<bool> reachable;  // by pieces; control tokens and holes are not
};

}  // namespace quantfleet::text
