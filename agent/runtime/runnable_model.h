// A GGUF, mapped into memory, with what runs it: threads and a transformer for one sequence. What the engine
// and the bench are made of.
#pragma once

#include <memory>

#include "agent/runtime/engine.h"
#include "agent/runtime/thread_pool.h"
#include "agent/runtime/transformer.h"
#include "common/base/bytes.h"

namespace quantfleet::agent {

struct RunnableModel {
  pipeline::ModelDescription description;
  MappedFile file;
  std::unique_ptr<ThreadPool> pool;
  std::unique_ptr<Transformer> transformer;
  int64_t weight_bytes = 0;  // that one token's pass reads

  // INVALID_ARGUMENT for a file that contradicts itself, a context or a number of threads out of range.
  static absl::StatusOr<RunnableModel> Load(const fs::path& gguf, const EngineOptions& options);
};

}  // namespace quantfleet::agent
