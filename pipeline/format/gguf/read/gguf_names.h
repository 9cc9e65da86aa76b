// Names that GGUF has beside those of a family's weights and hyper-parameters
// (docs/formats/gguf.md).
#pragma once

#include <cstdint>
#include <string_view>

#include "pipeline/model/embedding_use.h"

namespace quantfleet::pipeline {

inline constexpr std::string_view kRopeFactorsLong = "rope_factors_long.weight";
inline constexpr std::string_view kRopeFactorsShort = "rope_factors_short.weight";
inline constexpr std::string_view kRopeFreqs = "rope_freqs.weight";
// All that ends a generation: not llama.cpp's key, but Ollama's and others'.
inline constexpr std::string_view kEndIdsKey = "tokenizer.ggml.eos_token_ids";
// How a text becomes ids, where llama.cpp's keys do not say it (text/tokenizer/description_text.h).
inline constexpr std::string_view kDescriptionKey = "quantfleet.tokenizer.description";

// How an embedding model pools, below the architecture, and as llama.cpp numbers it. 0 says that
// nothing is pooled.
inline constexpr std::string_view kPoolingKey = "pooling_type";
inline constexpr struct {
  Pooling pooling;
  uint32_t number;
} kPoolingNumbers[] = {{Pooling::kMean, 1}, {Pooling::kCls, 2}, {Pooling::kLast, 3}};
// Lengths that its vectors may be cut to: those of a list, or any. llama.cpp has no key for them.
inline constexpr std::string_view kDimensionsKey = "quantfleet.embedding.dimensions";
inline constexpr std::string_view kAnyDimensionsKey = "quantfleet.embedding.any_dimensions";

}  // namespace quantfleet::pipeline
