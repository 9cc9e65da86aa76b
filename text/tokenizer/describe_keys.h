// What GGUF's keys say about a tokenizer, said as a tokenizer.json says it. Pure.
#pragma once

#include <string_view>
#include <vector>

#include "common/base/status.h"
#include "text/tokenizer/tokenizer_data.h"

namespace quantfleet::text {

// The control and user-defined tokens. As in llama.cpp, those of models named phi-3 strip spaces to
// the right of them.
std::vector<AddedToken> KeyedAdded(const TokenizerData& data, std::string_view model_name);

// A description that leads to the ids that the keys of `data` lead to. UNIMPLEMENTED where the
// keys name a pre-tokenizer that is not known, or a kind of tokenizer that only a tokenizer.json
// describes. `data` has no description.
absl::StatusOr<TokenizerDescription> DescribeKeys(const TokenizerData& data,
                                                  std::string_view model_name);

}  // namespace quantfleet::text
