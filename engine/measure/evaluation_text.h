// What models are measured on: a text, shipped or another, as a model's tokens.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "engine/decode/engine.h"

namespace quantfleet::engine {

// Plain English, some 400 words, written for this. No calibration reads it.
std::string_view ShippedEvaluationText();
std::span<const std::string_view> ShippedGoldenPrompts();

// The token that begins a text in front, if the model has one put there, and at most `most` tokens.
absl::StatusOr<std::vector<int32_t>> EvaluationTokens(const Engine& engine, std::string_view text,
                                                      int64_t most);

// Whether a model that finds a text so unlikely (mean NLL, nats) is far worse there than one that
// guesses, ln(vocab) nats: a text of another language or kind than it was trained on. What
// quantization changes there tells nothing about what it costs where the model is used.
bool IsOfAnotherKind(double mean_nll, int64_t vocab);

}  // namespace quantfleet::engine
