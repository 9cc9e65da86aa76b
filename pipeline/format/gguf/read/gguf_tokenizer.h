// The tokenizer that a GGUF header carries, as data. Pure.
#pragma once

#include "pipeline/format/gguf/read/gguf_file.h"
#include "pipeline/model/description.h"

namespace quantfleet::pipeline {

// Works on vocabulary-only files too. UNIMPLEMENTED names a kind of tokenizer that is not
// supported; a file without any gives Kind::kNone. Ids are checked against the number of tokens.
absl::StatusOr<text::TokenizerData> ReadTokenizer(const GgufFile& file);

}  // namespace quantfleet::pipeline
