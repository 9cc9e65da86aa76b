// A tokenizer's description as one compact text, for a key of a GGUF. Pure; what is read is
// untrusted.
#pragma once

#include <string>
#include <string_view>

#include "common/base/status.h"
#include "text/tokenizer/tokenizer_data.h"

namespace quantfleet::text {

// JSON: the stages as tokenizer.json has them, and "added_tokens" with only those flags that are
// set; "in_model" says that the model's vocabulary has a token too.
std::string WriteDescription(const TokenizerDescription& description);
absl::StatusOr<TokenizerDescription> ReadDescription(std::string_view text);

}  // namespace quantfleet::text
