// Byte-pair encoding: a piece begins as its characters (or its bytes), and the pair of neighbors
// that comes first among the merges is joined, until no pair is left. Immutable after Create,
// therefore thread-safe.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <utility>

#include "common/base/status.h"
#include "text/tokenizer/model.h"
#include "text/tokenizer/text_table.h"

namespace quantfleet::text {

struct BpeOptions {
  bool byte_level = false;     // pieces are bytes, and the vocabulary spells them with letters
  bool ignore_merges = false;  // a piece that is a token stays whole
  bool byte_fallback = false;  // a character that is no token goes by tokens such as "<0x0A>"
  bool fuse_unknown = false;   // unknown characters beside each other are one unknown token
  bool drops_missing = false;  // without an unknown token, a character that is none is dropped
  // Merges may join to what is no token, which then goes by its bytes, and the first of equal
  // merges counts, as in llama.cpp. Otherwise that is an error, and the last counts, as in
  // `tokenizers`.
  bool loose_merges = false;
  std::optional<int32_t> unknown = {};
  std::string prefix = {},
              suffix = {};  // of what does not begin a piece ("##"), and of what ends one ("</w>")
};

class BpeModel final : public Model {
 public:
  using Merges = std::vector<std::pair<std::string_view, std::string_view>>;

  // INVALID_ARGUMENT names the merge that is wrong; `where` is the merges' place in a file.
  static absl::StatusOr<std::unique_ptr<BpeModel>> Create(const Vocabulary& vocabulary,
                                                          const Merges& merges, BpeOptions options,
                                                          std::string_view where);

  void Encode(std::string_view piece, std::vector<int32_t>& out) const override;

 private:
  // What merges join: the tokens, by their ids, followed by what merges produce that is not a
  // token.
  using Symbol = int32_t;
  struct Merge {
    uint64_t pair;
    int32_t rank;
    Symbol joined;
  };

  explicit BpeModel(BpeOptions options) : options_(std::move(options)) {}
  void TakeVocabulary(const Vocabulary& vocabulary);
  absl::Status TakeMerges(const Vocabulary& vocabulary, const Merges& merges,
                          std::string_view where);
  absl::StatusOr<Symbol> SymbolOf(std::string_view text, size_t rank, std::string_view where);
  void InsertMerge(const Merge& merge);
  const Merge* FindMerge(Symbol left, Symbol right) const;

  void AppendSymbols(std::string_view piece, std::vector<Symbol>& symbols) const;
  void AppendUnknown(std::string_view character, bool& fuses, std::vector<Symbol>& symbols) const;
  void MergeFew(std::vector<Symbol>& symbols) const;
  void MergeMany(std::vector<Symbol>& symbols) const;

  const BpeOptions options_;
  std::vector<std::string> bytes_;   // by symbol
  TextTable table_{bytes_};          // of what text can become
  std::vector<Merge> merges_;        // a hash table, a power of two of slots; rank -1: free
  std::array<int32_t, 256> byte_{};  // byte_level: the token of a byte; fallback: of "<0x0A>"
  bool all_bytes_ = false;
  int32_t tokens_ = 0;        // symbols below are tokens
  std::vector<bool> closed_;  // control tokens, which merges must not become
};

}  // namespace quantfleet::text
