// Golden prompts: what a model says to a few prompts where it was made, and how far it says the
// same elsewhere. A damaged file, another machine's arithmetic gone wrong or a wrong tokenizer
// shows here before anybody is answered.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "engine/decode/engine.h"

namespace quantfleet::engine {

struct Golden {
  std::vector<int32_t> prompt;  // ids, BOS included where the model adds one
  std::vector<int32_t> answer;  // what a greedy generation adds
};

// Asks the model. The answer has at most `most_tokens`, and none where the model ends at once.
absl::StatusOr<Golden> MakeGolden(Engine& engine, std::string_view prompt, int64_t most_tokens);

// The share of the answers' tokens that the model, given prompt and answer up to there, finds the
// likeliest; 1 where the answers have no tokens. DATA_LOSS where the model yields no numbers,
// INVALID_ARGUMENT for ids that it does not have.
absl::StatusOr<double> GoldenAgreement(Engine& engine, std::span<const Golden> goldens);

}  // namespace quantfleet::engine
