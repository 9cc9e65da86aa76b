// What is sent of a model.
#include "cli/remote_push.h"

namespace quantfleet::cli {

std::vector<LocalFile> FilesToPush(const pipeline::ModelFiles& model) {
  std::vector<LocalFile> files;
  for (const pipeline::ModelFile& file : model.files) {
    // A blob of a cache is called by its digest: the daemon knows a GGUF file by its name.
    const bool named = !model.gguf || file.name.ends_with(".gguf");
    files.push_back({model.folder / file.name, named ? file.name : file.name + ".gguf", file.size});
  }
  return files;
}

}  // namespace quantfleet::cli
