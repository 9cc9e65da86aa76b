// A text for calibration that the model writes itself: most of its chunks as the user and the
// assistant of its chat template, where it has one, the others from any first word on, each at one
// of several temperatures. The same model and seed write the same on any number of threads, however
// many sequences share a pass.
#pragma once

#include <functional>
#include <stop_token>
#include <vector>

#include "engine/decode/runnable_model.h"
#include "text/tokenizer/tokenizer.h"

namespace quantfleet::engine {

struct SelfTextOptions {
  uint64_t seed = 1;
  int64_t chunk = 512, chunks = 20;
  uint64_t memory_bytes = 0;  // for caches: fewer sequences share a pass where they do not all fit
  std::stop_token stop = {};
  std::function<void(int64_t done, int64_t all)> on_progress = {};  // tokens
};

// Whole chunks, one after the other, each a text of its own. `model` was loaded with a context of a
// chunk at least, and its description has its tokenizer. RESOURCE_EXHAUSTED: not even one cache
// fits; CANCELLED when stopped; DATA_LOSS: the model yields no numbers.
absl::StatusOr<std::vector<int32_t>> WriteSelfText(RunnableModel& model,
                                                   const text::Tokenizer& tokenizer,
                                                   const SelfTextOptions& options);

}  // namespace quantfleet::engine
