// What running a model takes beside its weights: the KV cache, per token and element type, and the
// buffers of the engine. The engine allocates by these very numbers, and manifests carry them.
// Pure.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "pipeline/model/description.h"
#include "pipeline/tensor/dtype.h"

namespace quantfleet::pipeline {

// What a KV cache may hold, as manifests, device classes and devices name it; the first is what it
// holds where nobody says. The one list.
inline constexpr std::array kCacheTypes = {DType::kF16, DType::kQ8_0, DType::kF32};

bool IsCacheType(DType type);
bool IsCacheTypeName(std::string_view name);

// Their names with a separator between them, the last of them behind `last`: "f16, q8_0 or f32".
std::string CacheTypeNames(std::string_view separator = ", ", std::string_view last = " or ");

// Bytes of one head's key, or value, of one token. Q8_0: whole blocks of 32, the last one padded.
int64_t CacheRowBytes(DType type, int64_t head_dim);

// Bytes of one token's keys and values, in one layer and in all of them. `hyper` has passed
// Validate, so nothing overflows.
int64_t LayerCacheBytesPerToken(const Hyperparameters& hyper, DType type);
int64_t CacheBytesPerToken(const Hyperparameters& hyper, DType type);

// Tokens that share one pass of the engine over the weights.
inline constexpr int64_t kBatchTokens = 128;

// Positions that the engine keeps of a sequence of so many tokens: in a layer with a window those
// that the first token of a pass sees, and the pass's own.
int64_t CacheRows(const Hyperparameters& hyper, int64_t layer, int64_t tokens);
// Bytes of all that it keeps. Nothing overflows where the tokens times CacheBytesPerToken do not.
int64_t CacheBytes(const Hyperparameters& hyper, DType type, int64_t tokens);

// What the embedded engine keeps beside weights and cache, whatever the number of threads of a
// usual device. Grows in a straight line with the context, never with its square.
struct EngineBuffers {
  uint64_t fixed = 0;      // batches, logits, tokenizer, the program itself
  uint64_t per_token = 0;  // of the context: the tokens themselves and their text
};
EngineBuffers BuffersOf(const Hyperparameters& hyper);

}  // namespace quantfleet::pipeline
