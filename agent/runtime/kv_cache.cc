#include "agent/runtime/kv_cache.h"

#include <new>

#include "common/base/bytes.h"

namespace quantfleet::agent {

absl::StatusOr<std::unique_ptr<KvCache>> KvCache::Create(const pipeline::Hyperparameters& hyper,
                                                         int64_t capacity) {
  const auto per_position = static_cast<uint64_t>(2 * hyper.layers * hyper.kv_heads * hyper.head_dim);
  const auto values = CheckedMul(per_position, static_cast<uint64_t>(capacity));
  const auto bytes = values ? CheckedMul(*values, sizeof(float)) : std::nullopt;
  std::unique_ptr<KvCache> cache(new KvCache(hyper, capacity));
  if (bytes && *bytes < (uint64_t{1} << 46)) cache->values_.reset(new (std::nothrow) float[*values]);
  if (cache->values_ == nullptr) {
    return ResourceExhausted(
        "no memory for the KV cache of a context of {} tokens ({} bytes each); ask for a "
        "smaller context",
        capacity, per_position * sizeof(float));
  }
  return cache;
}

}  // namespace quantfleet::agent
