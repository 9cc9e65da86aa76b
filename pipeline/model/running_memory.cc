#include "pipeline/model/running_memory.h"

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

}  // namespace quantfleet::pipeline
