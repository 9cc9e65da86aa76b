#include "pipeline/model/memory_terms.h"

#include <array>
#include <span>

#include "pipeline/model/running_memory.h"

namespace quantfleet::pipeline {
namespace {

v1::Memory MemoryWith(const Hyperparameters& hyper, uint64_t weights,
                      std::span<const DType> kv_types, const EngineBuffers& buffers) {
  v1::Memory memory;
  memory.set_weights_bytes(weights);
  for (const DType type : kv_types) {
    v1::KvCache& cache = *memory.add_caches();
    cache.set_type(std::string(Info(type).name));
    cache.set_bytes_per_token(static_cast<uint64_t>(CacheBytesPerToken(hyper, type)));
  }
  memory.set_buffer_bytes(buffers.fixed);
  memory.set_buffer_bytes_per_token(buffers.per_token);
  memory.set_model_context(static_cast<uint64_t>(hyper.context));
  return memory;
}

}  // namespace

v1::Memory EngineMemory(const Hyperparameters& hyper, uint64_t weights) {
  v1::Memory memory = MemoryWith(hyper, weights, kCacheTypes, BuffersOf(hyper));
  if (hyper.rope_scaling.kind == RopeScaling::Kind::kLongRope &&
      hyper.original_context < hyper.context)
    memory.set_short_context(static_cast<uint64_t>(hyper.original_context));
  return memory;
}

v1::Memory RuntimeMemory(const Hyperparameters& hyper, uint64_t weights, DType kv_type) {
  const int64_t wide =
      hyper.experts > 0 ? hyper.experts_used * hyper.expert_width : hyper.intermediate;
  const EngineBuffers buffers{
      .fixed = static_cast<uint64_t>(4 * (hyper.vocab + 8 * hyper.hidden + 3 * wide)),
      .per_token = static_cast<uint64_t>(4 * hyper.heads)};
  return MemoryWith(hyper, weights, std::array{kv_type}, buffers);
}

}  // namespace quantfleet::pipeline
