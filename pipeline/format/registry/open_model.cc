#include "pipeline/format/registry/open_model.h"

#include <algorithm>

#include "pipeline/format/gguf/read/gguf_source.h"
#include "pipeline/format/safetensors/hf_source.h"
#include "pipeline/format/safetensors/lora_source.h"

namespace quantfleet::pipeline {

namespace {

absl::StatusOr<std::unique_ptr<ModelSource>> OpenBase(FileSystem& files, const ModelFiles& model) {
  if (!model.gguf) return HfSource::Open(files, model);
  const auto first = std::ranges::find(model.files, ModelFile::Part::kWeights, &ModelFile::part);
  return GgufSource::Open(files, model.folder / first->name);
}

}  // namespace

absl::StatusOr<std::unique_ptr<ModelSource>> OpenModel(FileSystem& files, const ModelFiles& model) {
  QF_ASSIGN_OR_RETURN(std::unique_ptr<ModelSource> base, OpenBase(files, model));
  return LoraSource::Merge(files, std::move(base), model.name, model.adapters);
}

absl::StatusOr<std::unique_ptr<ModelSource>> OpenModel(FileSystem& files, const fs::path& path) {
  QF_ASSIGN_OR_RETURN(const ModelFiles model, ResolveModel(files, path));
  return OpenModel(files, model);
}

}  // namespace quantfleet::pipeline
