// Which files of a folder are the model.

#include <algorithm>
#include <boost/json.hpp>
#include <set>

#include "cli/remote_push.h"

namespace quantfleet::cli {
namespace {

constexpr std::string_view kIndex = "model.safetensors.index.json";

bool Begins(std::string_view name, std::initializer_list<std::string_view> beginnings) {
  return std::ranges::any_of(beginnings,
                             [name](std::string_view b) { return name.starts_with(b); });
}
bool Ends(std::string_view name, std::initializer_list<std::string_view> endings) {
  return std::ranges::any_of(endings, [name](std::string_view e) { return name.ends_with(e); });
}

bool Belongs(std::string_view name) {
  return Begins(name, {"tokenizer", "LICENSE", "LICENCE", "COPYING", "NOTICE", "README"}) ||
         Ends(name, {".safetensors", ".json", ".jinja"}) || name == "merges.txt" ||
         name == "vocab.txt";
}

// The shards that the index names.
absl::StatusOr<std::set<std::string>> ShardsOf(const fs::path& index) {
  QF_ASSIGN_OR_RETURN(const std::string text, RealFileSystem().ReadAll(index));
  boost::system::error_code error;
  const boost::json::value json = boost::json::parse(text, error);
  const boost::json::value* map =
      !error && json.is_object() ? json.get_object().if_contains("weight_map") : nullptr;
  if (!map || !map->is_object())
    return InvalidArgument("{}: not an index of shards (no weight_map)", index.string());
  std::set<std::string> shards;
  for (const auto& [tensor, shard] : map->get_object()) {
    if (!shard.is_string())
      return InvalidArgument("{}: the shard of {} is not a string", index.string(),
                             std::string(tensor.data(), tensor.size()));
    shards.emplace(shard.get_string().data(), shard.get_string().size());
  }
  return shards;
}

absl::StatusOr<LocalFile> Describe(const fs::path& path) {
  std::error_code error;
  const uint64_t size = fs::file_size(path, error);
  if (error) return ErrnoStatus(error.value(), path.string());
  return LocalFile{path, path.filename().string(), size};
}

absl::StatusOr<std::vector<LocalFile>> FilesOfFolder(const fs::path& folder) {
  std::set<std::string> shards;
  const bool indexed = fs::exists(folder / kIndex);
  if (indexed) {
    QF_ASSIGN_OR_RETURN(shards, ShardsOf(folder / kIndex));
  }
  std::vector<LocalFile> files;
  bool config = false, weights = false;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (!entry.is_regular_file() || !Belongs(name))
      continue;  // follows links: the hub's cache is made of them
    const bool is_weights = name.ends_with(".safetensors");
    if (is_weights && indexed && shards.erase(name) == 0) continue;
    config |= name == "config.json";
    weights |= is_weights;
    QF_ASSIGN_OR_RETURN(LocalFile file, Describe(entry.path()));
    files.push_back(std::move(file));
  }
  if (!shards.empty())
    return NotFound("{}: the shard {} that {} names is missing; download the model again",
                    folder.string(), *shards.begin(), kIndex);
  if (!config || !weights)
    return InvalidArgument(
        "{}: not a model: a Hugging Face folder has config.json and *.safetensors",
        folder.string());
  std::ranges::sort(files, {}, &LocalFile::name);
  return files;
}

}  // namespace

absl::StatusOr<std::vector<LocalFile>> FilesOfModel(const fs::path& path) {
  try {
    if (fs::is_directory(path)) return FilesOfFolder(path);
    if (!fs::exists(path)) return NotFound("{}: no such file or folder", path.string());
    if (path.extension() != ".gguf")
      return InvalidArgument("{}: not a model: pass a Hugging Face folder or a .gguf file",
                             path.string());
    QF_ASSIGN_OR_RETURN(LocalFile file, Describe(fs::absolute(path)));
    return std::vector<LocalFile>{std::move(file)};
  } catch (const fs::filesystem_error& error) {
    return ErrnoStatus(error.code().value(), path.string());
  }
}

}  // namespace quantfleet::cli
