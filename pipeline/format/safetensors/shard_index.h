// Which safetensors files a folder consists of, and which tensor its index puts where.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "common/base/file.h"

namespace quantfleet::pipeline {

struct ShardIndex {
  std::vector<std::string> shards;                     // file names, sorted
  std::map<std::string, std::string> tensor_to_shard;  // empty: one file without an index
  std::string text;  // of the index, for the fingerprint; empty without one
};

// Errors name the missing file and the remedy.
absl::StatusOr<ShardIndex> FindShards(FileSystem& files, const fs::path& folder);

}  // namespace quantfleet::pipeline
