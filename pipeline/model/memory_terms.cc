#include "pipeline/model/memory_terms.h"

#include <array>
#include <span>

#include "pipeline/model/running_memory.h"

namespace quantfleet::pipeline {
namespace {

// The layers that keep the whole context first. `window`: positions that the others keep; 0: all
// layers keep the context.
v1::Memory MemoryWith(const Hyperparameters& hyper, uint64_t weights,
                      std::span<const DType> kv_types, int64_t window,
                      const EngineBuffers& buffers) {
  v1::Memory memory;
  memory.set_weights_bytes(weights);
  const int64_t sliding = window > 0 ? SlidingLayers(hyper) : 0;
  const auto add = [&](DType type, int64_t layers, int64_t kept) {
    if (layers == 0) return;
    v1::KvCache& cache = *memory.add_caches();
    cache.set_type(std::string(Info(type).name));
    cache.set_bytes_per_token(static_cast<uint64_t>(layers * LayerCacheBytesPerToken(hyper, type)));
    cache.set_window(static_cast<uint64_t>(kept));
  };
  for (const DType type : kv_types) {
    add(type, hyper.layers - sliding, 0);
    add(type, sliding, window);
  }
  memory.set_buffer_bytes(buffers.fixed);
  memory.set_buffer_bytes_per_token(buffers.per_token);
  memory.set_model_context(static_cast<uint64_t>(hyper.context));
  return memory;
}

}  // namespace

v1::Memory EngineMemory(const Hyperparameters& hyper, uint64_t weights) {
  v1::Memory memory = MemoryWith(hyper, weights, kCacheTypes, hyper.sliding_window + kBatchTokens,
                                 BuffersOf(hyper));
  if (hyper.rope_scaling.kind == RopeScaling::Kind::kLongRope &&
      hyper.original_context < hyper.context)
    memory.set_short_context(static_cast<uint64_t>(hyper.original_context));
  return memory;
}

v1::Memory RuntimeMemory(const Hyperparameters& hyper, uint64_t weights, DType kv_type,
                         bool window_only) {
  const int64_t wide =
      hyper.experts > 0 ? hyper.experts_used * hyper.expert_width : hyper.intermediate;
  const EngineBuffers buffers{
      .fixed = static_cast<uint64_t>(4 * (hyper.vocab + 8 * hyper.hidden + 3 * wide)),
      .per_token = static_cast<uint64_t>(4 * hyper.heads)};
  return MemoryWith(hyper, weights, std::array{kv_type}, window_only ? hyper.sliding_window : 0,
                    buffers);
}

}  // namespace quantfleet::pipeline
