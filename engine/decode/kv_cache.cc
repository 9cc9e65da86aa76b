#include "engine/decode/kv_cache.h"

#include <sys/mman.h>

#include <algorithm>

#include "common/base/bytes.h"
#include "pipeline/model/running_memory.h"

namespace quantfleet::engine {

KvCache::KvCache(const pipeline::Hyperparameters& hyper, pipeline::DType type, int64_t capacity)
    : type_(type),
      layers_(hyper.layers),
      kv_heads_(hyper.kv_heads),
      row_bytes_(pipeline::CacheRowBytes(type, hyper.head_dim)),
      capacity_(capacity),
      bytes_(nullptr, Unmap{0}) {}

void KvCache::Unmap::operator()(std::byte* bytes) const { munmap(bytes, size); }

absl::StatusOr<std::unique_ptr<KvCache>> KvCache::Create(const pipeline::Hyperparameters& hyper,
                                                         pipeline::DType type, int64_t capacity) {
  if (!pipeline::IsCacheType(type))
    return InvalidArgument("'{}' is not a supported KV cache type: use {}",
                           pipeline::Info(type).name, pipeline::CacheTypeNames());
  const auto per_token = static_cast<uint64_t>(pipeline::CacheBytesPerToken(hyper, type));
  const auto bytes = CheckedMul(per_token, static_cast<uint64_t>(std::max<int64_t>(capacity, 1)));
  std::unique_ptr<KvCache> cache(new KvCache(hyper, type, capacity));
  void* mapped = MAP_FAILED;
  // The heap would keep what a large cache leaves, and fill its gaps with what stays.
  if (bytes && *bytes < (uint64_t{1} << 46))
    mapped = mmap(nullptr, *bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) {
    return ResourceExhausted(
        "not enough memory for the KV cache of a context of {} tokens ({} bytes each): use a "
        "smaller context",
        capacity, per_token);
  }
  cache->bytes_ = {static_cast<std::byte*>(mapped), Unmap{*bytes}};
  return cache;
}

}  // namespace quantfleet::engine
