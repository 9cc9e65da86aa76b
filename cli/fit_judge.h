// Makes artifacts of a model and says how far each is from it on a text, under the engine.
#pragma once

#include <vector>

#include "engine/measure/comparison.h"
#include "pipeline/stage/executor.h"

namespace quantfleet::cli {

struct JudgedText {
  std::span<const int32_t> tokens;
  int64_t window;
};
// One for each of the plan's targets, which are made below `scratch` and left there; those of
// formats that the engine does not run are copied into a GGUF of their values.
absl::StatusOr<std::vector<engine::Comparison>> Judge(
    const pipeline::ModelSource& source, const pipeline::Plan& plan, const fs::path& reference,
    const fs::path& scratch, const JudgedText& text, pipeline::ExecutorOptions execution);

}  // namespace quantfleet::cli
