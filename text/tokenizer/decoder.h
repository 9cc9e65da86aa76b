// Tokens to text: tokenizer.json's "decoder". Immutable after Create, therefore thread-safe.
#pragma once

#include <boost/json/fwd.hpp>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"

namespace quantfleet::text {

class Decoder {
 public:
  // As Normalizer::Create. Without a stage, tokens are words with spaces between them.
  static absl::StatusOr<Decoder> Create(const boost::json::value* stage);
  // What GGUF's kinds of tokenizers have: bytes spelled with letters, and SentencePiece's spaces
  // and bytes.
  static Decoder OfByteLevel();
  static Decoder OfSentencePiece(bool strips_first_space);

  // The text of tokens as `tokenizers` puts it together; bytes that are not UTF-8 become U+FFFD.
  std::string Decode(std::vector<std::string> tokens) const;
  // The bytes that a token adds to a text that it does not begin. They may be part of a UTF-8
  // sequence.
  std::string Piece(std::string_view token) const;
  // A text begins with a space less than its first piece.
  bool strips_first_space() const { return strips_first_space_; }

 private:
  struct Step {
    std::function<void(std::vector<std::string>& tokens)> decode;
    std::function<void(std::string& token)> piece;
  };
  friend class DecoderBuilder;

  std::vector<Step> steps_;
  bool strips_first_space_ = false;
};

}  // namespace quantfleet::text
