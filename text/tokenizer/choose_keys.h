// Which of GGUF's keys a tokenizer.json comes to. Pure.
#pragma once

#include <string_view>

#include "common/base/status.h"
#include "text/tokenizer/tokenizer_data.h"

namespace quantfleet::text {

// Of a tokenizer with merges, sets `pre` to the name that cuts texts the same way, by how the
// pre-tokenizer is written or else by what it does to a sample. Unless all is written so that it
// means the same (proven_keys.h), compares what the keys of `data` lead to with what `json`
// describes (ParseTokenizerJson), on texts of many scripts and the vocabulary's own tokens: where
// ids differ, or no name is known to mean the same, the description
// (with its merges, unless scores say the same) becomes a part of `data`, and `llama_cpp_differs`
// says whether the keys alone make other ids. UNIMPLEMENTED or INVALID_ARGUMENT, naming the field,
// for a description that cannot be carried out. `data` is complete otherwise, and has a place for
// each token of `json`. `model_name` is that which the artifact will have.
absl::Status ChooseKeys(TokenizerData json, std::string_view model_name, TokenizerData& data);

}  // namespace quantfleet::text
