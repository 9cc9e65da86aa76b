#include "pipeline/format/safetensors/shard_index.h"

#include <boost/json.hpp>
#include <set>

#include "common/base/json.h"

namespace quantfleet::pipeline {
namespace {

namespace json = boost::json;

constexpr uint64_t kMaxIndexBytes = 32u << 20;
constexpr size_t kMaxShards = 4096;

// Nothing outside of the folder may be read because an index says so.
bool IsPlainFileName(std::string_view name) {
  return name.ends_with(".safetensors") && name.find_first_of("/\\") == std::string_view::npos &&
         name.find('\0') == std::string_view::npos;
}

}  // namespace

absl::StatusOr<ShardIndex> ReadShardIndex(FileSystem& files, const fs::path& folder) {
  const std::string name = (folder / kShardIndex).string();
  ShardIndex out;
  QF_ASSIGN_OR_RETURN(out.text, files.ReadAll(folder / kShardIndex, kMaxIndexBytes));
  QF_ASSIGN_OR_RETURN(const json::object object, ParseJsonObject(out.text, name));
  JsonMembers members(object, name);
  const json::object* map = members.Object("weight_map");
  QF_RETURN_IF_ERROR(members.status());
  if (map == nullptr || map->empty())
    return InvalidArgument("{}: 'weight_map' is missing or empty", name);
  std::set<std::string> shards;
  for (const auto& [tensor, file] : *map) {
    const json::string* text = file.if_string();
    const std::string shard = text ? std::string(text->data(), text->size()) : "";
    if (!IsPlainFileName(shard))
      return InvalidArgument(
          "{}: tensor '{}' is mapped to '{}', which is not a .safetensors file in this folder",
          name, std::string(tensor.data(), tensor.size()), shard);
    shards.insert(shard);
    out.tensor_to_shard.emplace(std::string(tensor.data(), tensor.size()), shard);
  }
  if (shards.size() > kMaxShards)
    return InvalidArgument("{}: there are more than {} shards", name, kMaxShards);
  out.shards.assign(shards.begin(), shards.end());
  return out;
}

}  // namespace quantfleet::pipeline
