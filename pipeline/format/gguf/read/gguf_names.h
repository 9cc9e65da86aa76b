// Names that GGUF has beside those of a family's weights and hyper-parameters
// (docs/formats/gguf.md).
#pragma once

#include <string_view>

namespace quantfleet::pipeline {

inline constexpr std::string_view kRopeFactorsLong = "rope_factors_long.weight";
inline constexpr std::string_view kRopeFactorsShort = "rope_factors_short.weight";
inline constexpr std::string_view kRopeFreqs = "rope_freqs.weight";
// All that ends a generation: not llama.cpp's key, but Ollama's and others'.
inline constexpr std::string_view kEndIdsKey = "tokenizer.ggml.eos_token_ids";
// How a text becomes ids, where llama.cpp's keys do not say it (text/tokenizer/description_text.h).
inline constexpr std::string_view kDescriptionKey = "quantfleet.tokenizer.description";

}  // namespace quantfleet::pipeline
