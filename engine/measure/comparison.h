// How far a model is from the one that it was made of: on a text, token by token, under the engine
// that devices run.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <stop_token>

#include "engine/decode/engine.h"

namespace quantfleet::engine {

struct Comparison {
  int64_t tokens = 0;   // predicted ones: those that follow another in their window
  double mean_nll = 0;  // nats per predicted token
  double reference_mean_nll = 0;
  // Standard errors, here and below, take the positions as independent.
  double nll_error = 0, reference_nll_error = 0;
  // Share of positions where both find the same next token the likeliest.
  double top1_agreement = 0;
  // Of the reference's distribution from the candidate's, nats per position: the mean, its standard
  // error, and what 99 in 100 positions do not exceed.
  double mean_kl = 0, kl_error = 0, kl_p99 = 0;
};

struct ComparisonOptions {
  // The text is cut into windows of this many tokens, each read from an empty cache: the logits of
  // one window are in memory at a time, once for each model.
  int64_t window = 64;
  std::stop_token stop = {};
  // Called after each window with the tokens read so far, of so many.
  std::function<void(uint64_t done, uint64_t all)> on_progress = {};
};

// INVALID_ARGUMENT for fewer than two tokens, vocabularies of different size, or a window that a
// model's context does not take; DATA_LOSS where a model yields no numbers; CANCELLED when stopped.
absl::StatusOr<Comparison> Compare(Engine& reference, Engine& candidate,
                                   std::span<const int32_t> tokens,
                                   const ComparisonOptions& options);

}  // namespace quantfleet::engine
