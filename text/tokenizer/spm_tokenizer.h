// SentencePiece BPE as llama.cpp runs it: special tokens are split out first, spaces become U+2581,
// then the pair of neighbors whose join has the highest score is merged, until no pair is left;
// what no token covers falls back to bytes.
#pragma once

#include <array>
#include <unordered_map>

#include "text/tokenizer/special_tokens.h"
#include "text/tokenizer/tokenizer.h"

namespace quantfleet::text {

class SpmTokenizer final : public Tokenizer {
 public:
  static absl::StatusOr<std::unique_ptr<SpmTokenizer>> Create(const TokenizerData& data,
                                                              std::string_view model_name);

  std::string Piece(int32_t id) const override;
  bool AddsLeadingSpace() const override { return data_.add_space_prefix; }
  bool EndsGeneration(int32_t id) const override;

 private:
  absl::StatusOr<std::vector<int32_t>> EncodeText(std::string_view text, bool add_bos,
                                                  bool parse_special,
                                                  std::span<const DataRange> data) const override;
  explicit SpmTokenizer(const TokenizerData& data) : data_(data) {}
  absl::Status BuildTables(std::string_view model_name);
  void EncodePlain(const std::string& escaped, std::vector<int32_t>& out) const;
  int32_t Find(std::string_view text) const;

  TokenizerData data_;
  std::unordered_map<std::string_view, int32_t>
      ids_;  // that text can become; views into data_.tokens
  SpecialTokens special_;
  std::array<int32_t, 256> bytes_{};  // id that stands for a byte
};

}  // namespace quantfleet::text
