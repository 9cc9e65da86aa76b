// The pre-tokenizers of byte-level BPE that we know, and how a tokenizer.json's is recognized by
// its regular expression. A file's expression is compared with ours and never run, so that a
// hostile one costs nothing. Pure.
#pragma once

#include <boost/json/fwd.hpp>
#include <string>
#include <string_view>

#include "common/base/status.h"

namespace quantfleet::text {

struct PreTokenizer {
  std::string_view name;  // GGUF's
  std::string_view
      regex;  // each match is a word, which merges do not cross; as the models' authors write it
  bool ignore_merges;  // a word that is a token stays whole
};
// By GGUF's name for it; null when it is unknown.
const PreTokenizer* FindPreTokenizer(std::string_view name);

// GGUF's name of the pre-tokenizer ("llama-bpe"). `pre` is the file's pre_tokenizer, null where it
// has none; `ignore_merges` (a word that is a token stays whole) is a part of what a name means to
// llama.cpp. UNIMPLEMENTED shows what is unknown: with the wrong one a model runs without
// complaint, and badly.
absl::StatusOr<std::string> PreTokenizerName(const boost::json::object* pre, bool ignore_merges);

}  // namespace quantfleet::text
