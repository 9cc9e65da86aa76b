#include "pipeline/format/registry/open_model.h"

#include "pipeline/format/gguf/read/gguf_source.h"
#include "pipeline/format/safetensors/hf_source.h"

namespace quantfleet::pipeline {

absl::StatusOr<std::unique_ptr<ModelSource>> OpenModel(FileSystem& files, const ModelFiles& model) {
  if (model.gguf) return GgufSource::Open(files, model.folder / model.files.front().name);
  return HfSource::Open(files, model);
}

absl::StatusOr<std::unique_ptr<ModelSource>> OpenModel(FileSystem& files, const fs::path& path) {
  QF_ASSIGN_OR_RETURN(const ModelFiles model, ResolveModel(files, path));
  return OpenModel(files, model);
}

}  // namespace quantfleet::pipeline
