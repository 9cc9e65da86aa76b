// The tokenizer.json that a tokenizer's data is, for programs that read no GGUF. Pure.
#pragma once

#include <string>

#include "common/base/status.h"
#include "text/tokenizer/tokenizer_data.h"

namespace quantfleet::text {

// What ParseTokenizerJson took apart, put together again: the stages of the description, and the
// tables beside it. Of SentencePiece's BPE without merges, those that scores say are written.
// FAILED_PRECONDITION for what a tokenizer.json cannot hold, such as tokens that are not UTF-8.
// `data` has a description.
absl::StatusOr<std::string> WriteTokenizerJson(const TokenizerData& data);

}  // namespace quantfleet::text
