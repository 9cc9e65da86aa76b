// SentencePiece's unigram model: of all ways to write a piece with tokens, the one whose scores sum
// to the most. Immutable, therefore thread-safe.
#pragma once

#include <optional>

#include "text/tokenizer/model.h"
#include "text/tokenizer/text_table.h"
#include "text/tokenizer/text_trie.h"

namespace quantfleet::text {

class UnigramModel final : public Model {
 public:
  // `unknown` is in the vocabulary.
  UnigramModel(const Vocabulary& vocabulary, std::optional<int32_t> unknown, bool byte_fallback);

  void Encode(std::string_view piece, std::vector<int32_t>& out) const override;

 private:
  void AppendUnknown(std::string_view text, std::vector<int32_t>& out) const;

  const std::vector<double> scores_;
  const std::optional<int32_t> unknown_;
  TextTrie trie_;
  std::vector<int32_t> bytes_;  // tokens such as "<0x0A>"; empty: none, or not used
  double unknown_score_ = 0;
};

}  // namespace quantfleet::text
