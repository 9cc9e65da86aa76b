// What is sent of a model.
#include <algorithm>

#include "cli/remote_push.h"

namespace quantfleet::cli {

using pipeline::LoraChoice;
using pipeline::ModelFile;

std::vector<LocalFile> FilesToPush(const pipeline::ModelFiles& model) {
  std::vector<LocalFile> files;
  for (const ModelFile& file : model.files) {
    if (file.part == ModelFile::Part::kAdapter) continue;
    // A blob of a cache is called by its digest: the daemon knows a GGUF file by its name.
    const bool named = !model.gguf || file.name.ends_with(".gguf");
    files.push_back({model.folder / file.name, named ? file.name : file.name + ".gguf", file.size});
  }
  if (model.adapters.empty()) return files;
  for (size_t i = 0; i < model.adapters.size(); ++i)
    for (const char* const part : {pipeline::kAdapterConfig, pipeline::kAdapterWeights}) {
      const fs::path path = model.adapters[i].folder / part;
      const auto file = std::ranges::find_if(
          model.files, [&](const ModelFile& f) { return model.folder / f.name == path; });
      files.push_back({path, fmt::format("{}/{}", pipeline::AdapterFolder(i), part),
                       file == model.files.end() ? 0 : file->size});
    }
  std::string list = pipeline::AdapterListText(model.adapters);
  const uint64_t size = list.size();
  files.push_back({{}, std::string(pipeline::kAdapterList), size, std::move(list)});
  return files;
}

}  // namespace quantfleet::cli
