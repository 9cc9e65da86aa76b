// A text as a model reads it for calibration, cut as llama-imatrix cuts it: chunks of equal length,
// each of which begins with the token that begins a text where the model has one put there. Pure.
#pragma once

#include <string_view>
#include <vector>

#include "text/tokenizer/tokenizer.h"
#include "text/tokenizer/tokenizer_data.h"

namespace quantfleet::engine {

struct ChunkOptions {
  int64_t size = 512;  // tokens
  int64_t most = 20;   // chunks; what the text has beyond them is left
};

// Whole chunks, one after the other; a rest that fills none is left. INVALID_ARGUMENT: the text is
// not UTF-8, or too short for a single chunk, which says how many tokens it has.
absl::StatusOr<std::vector<int32_t>> CutIntoChunks(const text::Tokenizer& tokenizer,
                                                   const text::TokenizerData& data,
                                                   std::string_view text,
                                                   const ChunkOptions& options);

// What is unusual about the tokens, for people; empty: nothing. One token again and again, or very
// few different ones, measure little.
std::string RemarkOn(std::span<const int32_t> tokens, int64_t vocab);

}  // namespace quantfleet::engine
