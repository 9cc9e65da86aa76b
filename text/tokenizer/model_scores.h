// SentencePiece's BPE as llama.cpp runs it: the pair of neighbors whose join is the token with the
// highest score is joined, until no pair is left; what no token covers falls back to bytes.
// Immutable, therefore thread-safe.
#pragma once

#include <array>
#include <memory>
#include <optional>

#include "text/tokenizer/model.h"
#include "text/tokenizer/text_table.h"

namespace quantfleet::text {

class ScoresModel final : public Model {
 public:
  ScoresModel(const Vocabulary& vocabulary, std::optional<int32_t> unknown);

  void Encode(std::string_view piece, std::vector<int32_t>& out) const override;

 private:
  const std::vector<std::string> texts_;
  const std::vector<double> scores_;
  TextTable ids_{texts_};             // of what text can become
  std::array<int32_t, 256> bytes_{};  // id that stands for a byte
};

}  // namespace quantfleet::text
