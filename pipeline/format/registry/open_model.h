// Opens a model as its authors publish it: an HF folder of safetensors, or a GGUF file (or
// several, of one model), also as what its folder holds. Adapters that go with it are merged.
#pragma once

#include <memory>

#include "pipeline/format/safetensors/model_files.h"
#include "pipeline/model/source.h"

namespace quantfleet::pipeline {

// Each tensor has the type that the file has it in.
absl::StatusOr<std::unique_ptr<ModelSource>> OpenModel(FileSystem& files, const ModelFiles& model);
absl::StatusOr<std::unique_ptr<ModelSource>> OpenModel(FileSystem& files, const fs::path& path);

}  // namespace quantfleet::pipeline
