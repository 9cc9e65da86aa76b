// Byte-level BPE as llama.cpp runs it: special tokens are split out first, a regular expression
// cuts the rest into words, and within a word the pair of neighbors that comes first among the
// merges is joined, until no pair is left. Each byte is a token, so that any text survives the
// round trip.
#pragma once

#include <array>
#include <optional>
#include <unordered_map>

#include "text/tokenizer/special_tokens.h"
#include "text/tokenizer/tokenizer.h"
#include "text/tokenizer/word_splitter.h"

namespace quantfleet::text {

class BpeTokenizer final : public Tokenizer {
 public:
  // UNIMPLEMENTED for a pre-tokenizer that we do not know: text would be cut at the wrong places.
  static absl::StatusOr<std::unique_ptr<BpeTokenizer>> Create(const TokenizerData& data,
                                                              std::string_view model_name);

  std::string Piece(int32_t id) const override;
  bool AddsLeadingSpace() const override { return false; }
  bool EndsGeneration(int32_t id) const override { return special_.EndsGeneration(id); }

 private:
  absl::StatusOr<std::vector<int32_t>> EncodeText(std::string_view text, bool add_bos,
                                                  bool parse_special,
                                                  std::span<const DataRange> data) const override;
  // What merges join: the tokens, by their ids, followed by what merges produce that is not a
  // token.
  using Symbol = int32_t;
  struct Merge {
    uint64_t pair;
    int32_t rank;
    Symbol joined;
  };
  // Bytes to symbols, while the tables are built.
  using SymbolTable = std::unordered_map<std::string, Symbol>;

  BpeTokenizer(WordSplitter splitter, bool ignore_merges)
      : splitter_(std::move(splitter)), ignore_merges_(ignore_merges) {}
  absl::Status BuildTables(const TokenizerData& data);
  absl::Status BuildMerges(const std::vector<std::string>& merges, SymbolTable& symbols);
  const Merge* FindMerge(Symbol left, Symbol right) const;
  int32_t FindWord(std::string_view word) const;  // -1: no token
  void EncodeWord(std::string_view word, std::vector<int32_t>& out) const;

  const WordSplitter splitter_;
  const bool ignore_merges_;
  SpecialTokens special_;
  std::vector<std::string> bytes_;  // by symbol; none for control tokens
  std::vector<Merge> merges_;       // ordered by pair
  std::vector<int32_t>
      words_;  // tokens that text can become, ordered by their bytes; only if ignore_merges_
  std::array<int32_t, 256>
      byte_{};                  // the token of a byte; the unknown one, or -1, where there is none
  int32_t tokens_ = 0;          // symbols below are tokens
  std::optional<int32_t> bos_;  // what begins a text; none where the model wants none
};

}  // namespace quantfleet::text
