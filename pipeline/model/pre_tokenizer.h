// Recognises the pre-tokenizer of a byte-level BPE tokenizer.json by its regular expression. The expression
// is compared with those that we know and never run, so that a hostile one costs nothing. Pure.
#pragma once

#include <boost/json/fwd.hpp>
#include <string>

#include "common/base/status.h"

namespace quantfleet::pipeline {

// GGUF's name of the pre-tokenizer ("llama-bpe"). `pre` is the file's pre_tokenizer, null where it has none;
// `ignore_merges` (a word that is a token stays whole) is a part of what a name means to llama.cpp.
// UNIMPLEMENTED shows what is not known: a model runs without complaint, and badly, on the wrong one.
absl::StatusOr<std::string> PreTokenizerName(const boost::json::object* pre, bool ignore_merges);

}  // namespace quantfleet::pipeline
