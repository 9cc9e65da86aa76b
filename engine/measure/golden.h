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
  std::vector<int32_t> prompt;    // ids, BOS included where the model adds one
  std::vector<int32_t> answer{};  // what a greedy generation adds
  std::vector<float> vector{};    // what an embedding model makes of the prompt, in its place
};

// The cosine from which on two vectors count as the same: other kernels and another rounding of
// activations move a vector far less, a damaged tensor far more.
inline constexpr double kSameVector = 0.99;

// Asks the model. The answer has at most `most_tokens`, and none where the model ends at once.
absl::StatusOr<Golden> MakeGolden(Engine& engine, std::string_view prompt, int64_t most_tokens);

// The share of the answers' tokens that the model, given prompt and answer up to there, finds the
// likeliest; of an embedding model, that of the vectors that it makes again. 1 where the answers
// have no tokens. DATA_LOSS where the model yields no numbers,
// INVALID_ARGUMENT for ids that it does not have.
absl::StatusOr<double> GoldenAgreement(Engine& engine, std::span<const Golden> goldens);

}  // namespace quantfleet::engine
