// tokenizer.json of the `tokenizers` library. Pure; the text is untrusted.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "text/tokenizer/tokenizer_data.h"

namespace quantfleet::text {

struct AddedToken {
  std::string text;
  bool special = false;
};
using AddedTokens = std::map<int64_t, AddedToken>;  // by id

struct TokenizerJson {
  AddedTokens added;
  // Which special tokens the post-processor puts around a text.
  std::string first_special, last_special;
  // Of byte-level BPE only, otherwise empty.
  bool byte_level_bpe = false;
  std::map<int64_t, std::string> vocab;
  std::vector<std::string> merges;
  std::string pre;  // GGUF's name for the pre-tokenizer
};

// With `whole` false only the added tokens and special tokens are read (another file holds the
// vocabulary); with `whole` true anything but byte-level BPE with a known pre-tokenizer is
// UNIMPLEMENTED.
absl::StatusOr<TokenizerJson> ParseTokenizerJson(std::string_view text, bool whole);

}  // namespace quantfleet::text
