// tokenizer.json of the `tokenizers` library. Pure; the text is untrusted.
#pragma once

#include <boost/json/fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"
#include "text/tokenizer/tokenizer_data.h"

namespace quantfleet::text {

struct TokenizerJson {
  std::vector<AddedToken> added;
  // Which special tokens the post-processor puts around a text.
  std::string first_special, last_special;
  // Kind, tokens (as many as the highest id of the vocabulary asks for, each normal or unused),
  // merges and the description; nothing else. Empty unless the whole file was asked for.
  TokenizerData data;
};

// With `whole` false only the added tokens and special tokens are read (another file holds the
// vocabulary). UNIMPLEMENTED names a model of an unknown type, INVALID_ARGUMENT what contradicts
// itself; the stages are read by MakeTokenizer.
absl::StatusOr<TokenizerJson> ParseTokenizerJson(std::string_view text, bool whole);

// The member "added_tokens", where `where` names the file.
absl::StatusOr<std::vector<AddedToken>> ReadAddedTokens(const boost::json::object& root,
                                                        const std::string& where);

}  // namespace quantfleet::text
