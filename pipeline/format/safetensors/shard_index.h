// The index of a model's shards: which safetensors file holds which tensor.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "common/base/file.h"

namespace quantfleet::pipeline {

inline constexpr std::string_view kSingleShard = "model.safetensors";
inline constexpr std::string_view kShardIndex = "model.safetensors.index.json";

struct ShardIndex {
  std::vector<std::string> shards;                     // file names, sorted
  std::map<std::string, std::string> tensor_to_shard;  // empty: one file without an index
  std::string text;  // of the index, for the fingerprint; empty without one
};

// Whether the shards are there is not looked at. INVALID_ARGUMENT names what is wrong with it.
absl::StatusOr<ShardIndex> ReadShardIndex(FileSystem& files, const fs::path& folder);

}  // namespace quantfleet::pipeline
