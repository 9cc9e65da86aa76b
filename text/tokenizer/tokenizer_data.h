// What a model's files say about its tokenizer: a vocabulary, how a text becomes ids, and which ids
// begin and end a text. Plain values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace quantfleet::text {

enum class TokenType : int32_t {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6
};

struct Token {
  std::string text;
  float score = 0;
  TokenType type = TokenType::kNormal;
};

struct TokenizerData {
  enum class Kind { kNone, kSpm, kByteBpe } kind = Kind::kNone;
  std::vector<Token> tokens;        // index = id, padded to the vocabulary size
  std::vector<std::string> merges;  // byte BPE: "a b"
  std::string pre = "default";      // GGUF's name for the pre-tokenizer
  std::optional<int32_t> bos, eos, unknown, padding;
  std::vector<int32_t> more_ends;  // what ends a generation beside eos; ascending (end_tokens.h)
  bool add_bos = true, add_eos = false, add_space_prefix = true;
  std::string chat_template;
  // Others that the model has beside it: name ("tool_use") and template.
  std::vector<std::pair<std::string, std::string>> named_templates;
};

}  // namespace quantfleet::text
