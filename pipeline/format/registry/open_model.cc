#include "pipeline/format/registry/open_model.h"

#include <algorithm>

#include "pipeline/format/gguf/read/gguf_source.h"
#include "pipeline/format/registry/float_source.h"
#include "pipeline/format/safetensors/hf_source.h"
#include "pipeline/format/safetensors/pickle.h"

namespace quantfleet::pipeline {

absl::StatusOr<std::unique_ptr<ModelSource>> OpenModel(FileSystem& files, const fs::path& path) {
  QF_ASSIGN_OR_RETURN(std::unique_ptr<ModelSource> source, OpenAsStored(files, path));
  return FloatSource::Over(std::move(source));
}

namespace {

// A folder without config.json that holds one GGUF, as a push of that file leaves it: the file;
// else the folder.
fs::path ModelIn(FileSystem& files, const fs::path& folder, const std::vector<std::string>& names) {
  if (files.Exists(folder / "config.json")) return folder;
  const auto is_gguf = [](const std::string& name) { return name.ends_with(".gguf"); };
  if (std::ranges::count_if(names, is_gguf) != 1) return folder;
  return folder / *std::ranges::find_if(names, is_gguf);
}

}  // namespace

absl::StatusOr<std::unique_ptr<ModelSource>> OpenAsStored(FileSystem& files, const fs::path& path) {
  if (!files.Exists(path)) return NotFound("file or folder {} does not exist", path.string());
  if (const auto names = files.List(path); names.ok()) {
    const fs::path model = ModelIn(files, path, *names);
    return model == path ? HfSource::Open(files, path) : OpenAsStored(files, model);
  }
  QF_ASSIGN_OR_RETURN(const std::unique_ptr<File> file, files.Open(path, OpenMode::kOutside));
  if (GgufFile::HasMagic(*file)) return GgufSource::Open(files, path);
  if (IsPickle(path.filename().string()))
    return PickleRefused(path.parent_path(), path.filename().string());
  if (path.extension() == ".safetensors")
    return InvalidArgument(
        "{} is only one file of a model: pass its folder, which also contains config.json and the "
        "tokenizer",
        path.string());
  return InvalidArgument(
      "{} is not a supported model: pass a Hugging Face folder with safetensors, or a GGUF file",
      path.string());
}

}  // namespace quantfleet::pipeline
