// Words of golden answers, as text: for runtimes that are asked in texts and answer in texts.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/file.h"
#include "quantfleet/v1/trust.pb.h"

namespace quantfleet::agent {

struct GoldenWord {
  std::string before;  // the prompt, and the answer up to there
  std::string word;    // what follows, without white space before it; never empty
  int64_t tokens;      // that say it
};

// Of each answer the first word and one in its middle, by the tokenizer.json in an artifact's
// folder; where there is no such word it is left out. NOT_FOUND:
// it has none. INVALID_ARGUMENT, UNIMPLEMENTED: what is wrong with it.
absl::StatusOr<std::vector<GoldenWord>> GoldenWordsOf(const fs::path& folder,
                                                      const std::vector<v1::GoldenPrompt>& golden);

// Whether a text begins with the word, whatever white space is before it.
bool Begins(std::string_view text, const GoldenWord& golden);

}  // namespace quantfleet::agent
