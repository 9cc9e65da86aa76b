// Safetensors files of a model's weights, cut to a size, and the index that says which tensor is in
// which. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "pipeline/family/family.h"
#include "pipeline/format/layout/assemble.h"

namespace quantfleet::pipeline {

// One tensor of a file: a part of an output tensor, or bytes that are known.
struct ShardPart {
  std::string name;
  std::string_view type;  // as safetensors say it: "U32"
  std::vector<int64_t> shape;
  const OutputTensor* of = nullptr;  // which outlives this; null: `known`
  DType dtype = DType::kF32;
  Part part = Part::kBlocks;
  std::string known = {};
};

// The part of a tensor whose last dimension is `cols`.
ShardPart PartOf(const OutputTensor& tensor, std::string name, std::string_view type, int64_t cols,
                 DType dtype, Part part);

// The tensor in a float type.
ShardPart FloatOf(const OutputTensor& tensor, DType dtype);

// "F32", "F16", "BF16" of such a type.
std::string_view SafetensorsFloat(DType dtype);

// The parts of one weight, which stay in one file.
using ShardBundle = std::vector<ShardPart>;

struct ShardRules {
  Dialect dialect;          // whose values they are
  std::string_view writer;  // of __metadata__'s "format": "pt"
  // A file ends before the bundle that would bring its data above this.
  uint64_t shard_bytes;
  bool index_of_one;  // an index even where there is one file
};

// Within a file wider elements come first, so that every tensor lies on a multiple of its elements.
std::vector<PlannedFile> PlanShards(const ModelDescription& model,
                                    const std::vector<ShardBundle>& bundles,
                                    const ShardRules& rules);

}  // namespace quantfleet::pipeline
