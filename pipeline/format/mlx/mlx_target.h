// The MLX emitter: from a model and a recipe to the layout of a folder that mlx-lm loads
// (docs/formats/mlx.md).
#pragma once

#include "pipeline/format/target_format.h"

namespace quantfleet::pipeline {

extern const TargetFormat kMlxFormat;

// mlx-lm's own limit.
inline constexpr uint64_t kMlxShardBytes = uint64_t{5} << 30;

// Errors name the tensor or setting that MLX cannot hold, and what to take instead. A shard ends
// before the tensor that would bring its data above `shard_bytes`.
absl::StatusOr<TargetLayout> PlanMlx(const ModelSource& source, const Recipe& recipe,
                                     uint64_t shard_bytes = kMlxShardBytes);

}  // namespace quantfleet::pipeline
