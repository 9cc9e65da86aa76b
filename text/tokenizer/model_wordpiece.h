// WordPiece: a piece is cut from the left, each time the longest token; where none fits, all of it
// is unknown. Immutable, therefore thread-safe.
#pragma once

#include <optional>
#include <string>

#include "text/tokenizer/model.h"
#include "text/tokenizer/text_trie.h"

namespace quantfleet::text {

class WordPieceModel final : public Model {
 public:
  // `prefix` is that of tokens which do not begin a piece ("##"). Pieces of more than
  // `max_characters` are unknown.
  WordPieceModel(const Vocabulary& vocabulary, std::optional<int32_t> unknown,
                 std::string_view prefix, size_t max_characters);

  void Encode(std::string_view piece, std::vector<int32_t>& out) const override;

 private:
  const std::optional<int32_t> unknown_;
  const size_t max_characters_;
  TextTrie first_, later_;  // without the prefix
};

}  // namespace quantfleet::text
