// The safetensors emitter: from a model and a recipe to the layout of a folder that transformers,
// vLLM and SGLang load (docs/formats/safetensors.md#folders-that-are-made).
#pragma once

#include "pipeline/format/target_format.h"

namespace quantfleet::pipeline {

extern const TargetFormat kSafetensorsFormat;

// As transformers cuts them.
inline constexpr uint64_t kSafetensorsShardBytes = uint64_t{5'000'000'000};

// Errors name the tensor or setting that the folder cannot hold, and what to take instead.
absl::StatusOr<TargetLayout> PlanSafetensors(const ModelSource& source, const Recipe& recipe,
                                             uint64_t shard_bytes = kSafetensorsShardBytes);

}  // namespace quantfleet::pipeline
