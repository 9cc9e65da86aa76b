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

inline bool IsControl(TokenType type) {
  return type == TokenType::kControl || type == TokenType::kUnknown;
}

struct Token {
  std::string text;
  float score = 0;
  TokenType type = TokenType::kNormal;
};

// A token that stands for itself in a text ("<|end|>"), whatever the model would make of it.
struct AddedToken {
  int64_t id = 0;
  std::string text = {};
  bool special = false;      // a control token: found in prompts only, and shown to nobody
  bool single_word = false;  // only where no letter or digit is beside it
  bool lstrip = false;       // swallows white space to the left of it
  bool rstrip = false;
  bool normalized = false;  // found in the text that the normalizer has been through
  bool in_model = false;    // the model's vocabulary has it too
};

// A tokenizer.json without its vocabulary and merges.
struct TokenizerDescription {
  std::string stages;  // JSON: normalizer, pre_tokenizer, post_processor, decoder, and model
  std::vector<AddedToken> added;
};

struct TokenizerData {
  // GGUF's kinds: SentencePiece BPE ("llama"), BPE with merges ("gpt2"), unigram ("t5") and
  // WordPiece ("bert"), which stands for whole words (WordLevel) as well, where it is described.
  enum class Kind { kNone, kSpm, kByteBpe, kUnigram, kWordPiece } kind = Kind::kNone;
  std::vector<Token> tokens;        // index = id, padded to the vocabulary size
  std::vector<std::string> merges;  // "a b"
  std::string pre = "default";      // GGUF's name for the pre-tokenizer
  std::optional<int32_t> bos, eos, unknown, padding;
  std::vector<int32_t> more_ends;  // what ends a generation beside eos; ascending (end_tokens.h)
  bool add_bos = true, add_eos = false, add_space_prefix = true;
  // Present where all of the above does not lead to the ids that the model's authors mean.
  std::optional<TokenizerDescription> description;
  // llama.cpp, which does not read the description, makes other ids of some texts. Known to sources
  // that were made from a tokenizer.json.
  bool llama_cpp_differs = false;
  std::string chat_template;
  // Others that the model has beside it: name ("tool_use") and template.
  std::vector<std::pair<std::string, std::string>> named_templates;
};

}  // namespace quantfleet::text
