// How far an embedding model is from the one that it was made of: the same passages of a text,
// turned into vectors by both.
#pragma once

#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "engine/decode/engine.h"

namespace quantfleet::engine {

struct EmbeddingComparison {
  int64_t vectors = 0;      // that were compared
  double mean_cosine = 0;   // of each with the reference's
  double least_cosine = 0;  // of the one that is farthest from the reference's
};

// The text in pieces of at most 200 bytes, cut at white space where there is some; until they have
// `most_tokens` of the model's tokens. None: the text has no letters.
absl::StatusOr<std::vector<std::vector<int32_t>>> PassagesOf(const Engine& engine,
                                                             std::string_view text,
                                                             int64_t most_tokens);

// INVALID_ARGUMENT: no passages, or vectors of different lengths. CANCELLED when stopped.
absl::StatusOr<EmbeddingComparison> CompareEmbeddings(
    Engine& reference, Engine& candidate, const std::vector<std::vector<int32_t>>& passages,
    const std::stop_token& stop);

}  // namespace quantfleet::engine
