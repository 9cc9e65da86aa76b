#include "pipeline/model/running_memory.h"

#include <algorithm>

namespace quantfleet::pipeline {

bool IsCacheType(DType type) { return type == DType::kF32 || type == DType::kF16 || type == DType::kQ8_0; }

int64_t CacheRowBytes(DType type, int64_t head_dim) {
  const DTypeInfo& info = Info(type);
  return (head_dim + info.block_elements - 1) / info.block_elements * info.block_bytes;
}

int64_t CacheBytesPerToken(const Hyperparameters& hyper, DType type) {
  return 2 * hyper.layers * hyper.kv_heads * CacheRowBytes(type, hyper.head_dim);
}

EngineBuffers BuffersOf(const Hyperparameters& hyper) {
  const int64_t fixed = 4 * (32 * hyper.vocab + 128 * (3 * hyper.hidden + 2 * (hyper.heads + hyper.kv_heads) * hyper.head_dim +
                                                       2 * hyper.intermediate));
  return {static_cast<uint64_t>(fixed), static_cast<uint64_t>(4 * hyper.heads)};
}

uint64_t BufferBytes(const Hyperparameters& hyper, int64_t context) {
  const EngineBuffers buffers = BuffersOf(hyper);
  return buffers.fixed + buffers.per_token * static_cast<uint64_t>(context);
}

int64_t LargestContext(const Hyperparameters& hyper, DType cache, uint64_t available) {
  const EngineBuffers buffers = BuffersOf(hyper);
  if (available <= buffers.fixed) return 0;
  const uint64_t per_token = buffers.per_token + static_cast<uint64_t>(CacheBytesPerToken(hyper, cache));
  return static_cast<int64_t>(std::min<uint64_t>((available - buffers.fixed) / per_token, static_cast<uint64_t>(hyper.context)));
}

}  // namespace quantfleet::pipeline
