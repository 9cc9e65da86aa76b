#include "pipeline/model/running_memory.h"

#include <algorithm>

namespace quantfleet::pipeline {

bool IsCacheType(DType type) { return std::ranges::find(kCacheTypes, type) != kCacheTypes.end(); }

bool IsCacheTypeName(std::string_view name) {
  return std::ranges::any_of(kCacheTypes, [&](DType type) { return Info(type).name == name; });
}

std::string CacheTypeNames(std::string_view separator, std::string_view last) {
  std::string names;
  for (const DType type : kCacheTypes) {
    if (!names.empty()) names += type == kCacheTypes.back() ? last : separator;
    names += Info(type).name;
  }
  return names;
}

int64_t CacheRowBytes(DType type, int64_t head_dim) {
  const int64_t elements = BlockElements(type, head_dim);
  return (head_dim + elements - 1) / elements * BlockBytes(type, head_dim);
}

int64_t LayerCacheBytesPerToken(const Hyperparameters& hyper, DType type) {
  return 2 * hyper.kv_heads * CacheRowBytes(type, hyper.head_dim);
}

int64_t CacheBytesPerToken(const Hyperparameters& hyper, DType type) {
  return hyper.layers * LayerCacheBytesPerToken(hyper, type);
}

int64_t CacheRows(const Hyperparameters& hyper, int64_t layer, int64_t tokens) {
  const int64_t window = WindowOf(hyper, layer);
  return window == 0 ? tokens : std::min(tokens, window + kBatchTokens);
}

int64_t CacheBytes(const Hyperparameters& hyper, DType type, int64_t tokens) {
  int64_t rows = 0;
  for (int64_t layer = 0; layer < hyper.layers; ++layer) rows += CacheRows(hyper, layer, tokens);
  return rows * LayerCacheBytesPerToken(hyper, type);
}

// What stands here was compared with a process (tests/e2e/test_memory.py); the buffers are those of
// engine/decode/transformer.cc.
EngineBuffers BuffersOf(const Hyperparameters& hyper) {
  constexpr int64_t kJudged = 16, kThreads = 4;  // rows of logits, threads of a usual device
  const int64_t heads = hyper.heads * hyper.head_dim, kv_heads = hyper.kv_heads * hyper.head_dim;
  // Experts take the place of a feed-forward part: each row of a batch has room in each of those
  // that it goes through, for their scores, and for what is multiplied with.
  const bool mixture = hyper.experts > 0;
  const int64_t wide = mixture ? 0 : hyper.intermediate;
  const int64_t expert_row =
      4 * hyper.experts + hyper.experts_used * (4 * (2 * hyper.expert_width + hyper.hidden) + 96);
  const int64_t widest = std::max({hyper.hidden, heads, wide});
  const int64_t codes = std::max(widest, hyper.experts_used * hyper.expert_width);
  // Per row of a batch: floats, and the widest of them as codes of eight bits with a scale and
  // three sums for 32 of them.
  const int64_t angles = hyper.sliding_rope_theta != 0 ? 2 * hyper.rope_dims : hyper.rope_dims;
  const int64_t row = 4 * (3 * hyper.hidden + 2 * (heads + kv_heads) + 2 * wide + angles) +
                      codes * 3 / 2 + (mixture ? expert_row : 0);
  // Of each thread: attention's tiles, a panel of 16 rows of weights, and its stack.
  const int64_t thread = 4 * (176 * (hyper.head_dim + 31) + 4096) + 22 * widest + (64 << 10);
  // Per token of the vocabulary: its row of logits, and what the tokenizer keeps. Vocabularies this
  // large are byte-level BPE, whose merges are kept too.
  const int64_t word = 4 * kJudged + (hyper.vocab > 40000 ? 265 : 90);
  const int64_t norms = 4 * (2 * hyper.layers + 1) * hyper.hidden;
  constexpr int64_t kProgram = 1900 << 10;  // its libraries' own data, the server's threads
  // A sequence of an encoder is one batch.
  if (hyper.token_types > 0)
    return {static_cast<uint64_t>(kProgram + kThreads * thread + hyper.vocab * word + norms),
            static_cast<uint64_t>(16 + row)};
  return {static_cast<uint64_t>(kProgram + kBatchTokens * row + kThreads * thread +
                                hyper.vocab * word + norms),
          16};
}

}  // namespace quantfleet::pipeline
