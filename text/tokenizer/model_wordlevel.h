// Whole words: a piece is a token, or unknown. Immutable, therefore thread-safe.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "text/tokenizer/model.h"
#include "text/tokenizer/text_table.h"

namespace quantfleet::text {

class WordLevelModel final : public Model {
 public:
  WordLevelModel(const Vocabulary& vocabulary, std::optional<int32_t> unknown);

  void Encode(std::string_view piece, std::vector<int32_t>& out) const override;

 private:
  const std::optional<int32_t> unknown_;
  const std::vector<std::string> texts_;
  TextTable ids_{texts_};
};

}  // namespace quantfleet::text
