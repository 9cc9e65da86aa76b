// Which tokens end a generation: a tokenizer's eos, and whatever else is named beside it. Pure.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "text/tokenizer/tokenizer_data.h"

namespace quantfleet::text {

// All of them: eos first where there is one, then more_ends.
std::vector<int32_t> EndIds(const TokenizerData& tokenizer);

// Sets more_ends to `ids`, which are in the vocabulary: ascending, each once, without eos.
void SetMoreEnds(std::vector<int32_t> ids, TokenizerData& tokenizer);

// Texts at which chat models stop, whatever a file names, as in llama.cpp (llama-vocab.cpp).
bool IsEndText(std::string_view text);
// A control token or a user-defined one with such a text.
bool EndsByText(const Token& token);

}  // namespace quantfleet::text
