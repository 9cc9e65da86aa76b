// A GGUF, mapped into memory, with what runs it: threads, a transformer, and caches of one type for
// its sequences. What the engine and the bench are made of.
#pragma once

#include <memory>

#include "common/base/bus_guard.h"
#include "common/base/bytes.h"
#include "engine/decode/engine.h"
#include "engine/decode/transformer.h"
#include "engine/kernels/thread_pool.h"

namespace quantfleet::engine {

struct RunnableModel {
  pipeline::ModelDescription description;
  MappedFile file;
  BusGuard guard;  // of the file: it may be cut short while it is mapped
  std::unique_ptr<ThreadPool> pool;
  std::unique_ptr<Transformer> transformer;
  pipeline::DType kv_type = pipeline::DType::kF16;
  int64_t weight_bytes = 0;  // that one token's pass reads

  // INVALID_ARGUMENT for a file that contradicts itself, a context, a type of cache or a number of
  // threads out of range; RESOURCE_EXHAUSTED for a context that options.memory_available does not
  // hold.
  static absl::StatusOr<RunnableModel> Load(const fs::path& gguf, const EngineOptions& options);

  // DATA_LOSS: the file could not be read to its end any more, and what was computed since then
  // counts for nothing. It stays so until the model is loaded again.
  absl::Status Whole() const;

  int64_t context() const { return transformer->context(); }

  // For a sequence of so many tokens.
  absl::StatusOr<std::unique_ptr<KvCache>> MakeCache(int64_t tokens) const {
    return KvCache::Create(description.hyper, kv_type, tokens);
  }
};

}  // namespace quantfleet::engine
