#include "engine/decode/kv_cache.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>

#include "common/base/bytes.h"
#include "pipeline/model/running_memory.h"

namespace quantfleet::engine {

KvCache::KvCache(const pipeline::Hyperparameters& hyper, pipeline::DType type, int64_t capacity)
    : type_(type),
      kv_heads_(hyper.kv_heads),
      row_bytes_(pipeline::CacheRowBytes(type, hyper.head_dim)),
      capacity_(capacity),
      window_(hyper.sliding_window),
      bytes_(nullptr, Unmap{0}) {
  for (int64_t layer = 0; layer < hyper.layers; ++layer) {
    const int64_t rows = pipeline::CacheRows(hyper, layer, capacity);
    layers_.push_back({all_rows_, rows});
    all_rows_ += rows * kv_heads_;
  }
}

void KvCache::Unmap::operator()(std::byte* bytes) const { munmap(bytes, size); }

absl::StatusOr<std::unique_ptr<KvCache>> KvCache::Create(const pipeline::Hyperparameters& hyper,
                                                         pipeline::DType type, int64_t capacity) {
  if (!pipeline::IsCacheType(type))
    return InvalidArgument("'{}' is not a supported KV cache type: use {}",
                           pipeline::Info(type).name, pipeline::CacheTypeNames());
  const auto per_token = static_cast<uint64_t>(pipeline::CacheBytesPerToken(hyper, type));
  const auto bytes = CheckedMul(per_token, static_cast<uint64_t>(std::max<int64_t>(capacity, 1)));
  std::unique_ptr<KvCache> cache;
  size_t size = 0;
  void* mapped = MAP_FAILED;
  // The heap would keep what a large cache leaves, and fill its gaps with what stays.
  if (bytes && *bytes < (uint64_t{1} << 46)) {
    cache.reset(new KvCache(hyper, type, capacity));
    size = static_cast<size_t>(2 * std::max<int64_t>(cache->all_rows_, 1) * cache->row_bytes_);
    mapped = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  }
  if (mapped == MAP_FAILED) {
    return ResourceExhausted(
        "not enough memory for the KV cache of a context of {} tokens ({} bytes each): use a "
        "smaller context",
        capacity, per_token);
  }
  cache->bytes_ = {static_cast<std::byte*>(mapped), Unmap{size}};
  return cache;
}

void KvCache::Rewind(int64_t tokens) {
  length_ = tokens;
  const bool moved = std::ranges::any_of(
      layers_, [&](const Layer& l) { return l.rows < capacity_ && l.rows < tokens; });
  base_ = moved ? tokens - (window_ - 1) : 0;
}

void KvCache::MakeRoom(int64_t tokens) {
  const auto gives_up = [&](const Layer& layer) { return layer.rows < capacity_; };
  const auto some = std::ranges::find_if(layers_, gives_up);
  if (some == layers_.end() || length_ + tokens - base_ <= some->rows) return;
  // What the next token sees beside itself.
  const int64_t kept = window_ - 1, base = length_ - kept;
  for (const Layer& layer : layers_) {
    if (!gives_up(layer)) continue;
    for (int64_t head = 0; head < kv_heads_; ++head)
      for (const int64_t half : {int64_t{0}, all_rows_}) {
        std::byte* rows = bytes_.get() + (half + layer.begin + head * layer.rows) * row_bytes_;
        std::memmove(rows, rows + (base - base_) * row_bytes_,
                     static_cast<size_t>(kept * row_bytes_));
      }
  }
  base_ = base;
}

}  // namespace quantfleet::engine
