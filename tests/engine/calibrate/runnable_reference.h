// A random model in memory as the engine loads one from a file.
#pragma once

#include "engine/decode/runnable_model.h"
#include "tests/engine/decode/reference_model.h"

namespace quantfleet::testing {

// `model` must outlive it.
inline engine::RunnableModel MakeRunnable(const ReferenceModel& model, int threads = 1,
                                          const engine::MatrixOps* ops = nullptr) {
  engine::RunnableModel runnable;
  runnable.description = model.description;
  runnable.kv_type = DType::kF32;
  runnable.pool = std::make_unique<engine::ThreadPool>(threads);
  auto weights = model.Map(engine::ChosenOps());
  runnable.transformer = *engine::Transformer::Create(model.description.hyper, *std::move(weights),
                                                      model.description.hyper.context,
                                                      *runnable.pool, engine::ChosenOps(), ops);
  return runnable;
}

}  // namespace quantfleet::testing
