// Finds out which of a checkpoint's tensors are the parts of one weight, and checks that they fit
// one another and what config.json says. Reads the few parts that say how others lie: shapes and
// the groups of columns.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "pipeline/format/safetensors/hf_quantization.h"
#include "pipeline/format/safetensors/packed_weight.h"
#include "pipeline/format/safetensors/safetensors_file.h"

namespace quantfleet::pipeline {

struct ShardTensor {
  SafetensorsTensor tensor;
  size_t shard = 0;
  const File* file = nullptr;
  std::string path;  // for messages
};

struct CheckpointWeight {
  std::string name;  // "model.norm.weight": what it is called where nothing is quantized
  size_t stored;     // among the tensors: itself, or its codes
  std::optional<PackedWeight> packed = {};
};

// In the order of `tensors`, where the codes of a quantized weight stand for it. `tensors` and the
// files have to outlive nothing but `packed`. Errors name the file, the tensor, and what to do.
absl::StatusOr<std::vector<CheckpointWeight>> JoinParts(const HfQuantization& quantization,
                                                        const std::vector<ShardTensor>& tensors);

}  // namespace quantfleet::pipeline
