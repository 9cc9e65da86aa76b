// Opens a model as its authors publish it: an HF folder of safetensors, or a GGUF file, also as the
// one of its folder.
#pragma once

#include <memory>

#include "pipeline/format/safetensors/model_files.h"
#include "pipeline/model/source.h"

namespace quantfleet::pipeline {

// As quantizing reads it: Q8_0 tensors of a GGUF are F32 (float_source.h).
absl::StatusOr<std::unique_ptr<ModelSource>> OpenModel(FileSystem& files, const ModelFiles& model);
absl::StatusOr<std::unique_ptr<ModelSource>> OpenModel(FileSystem& files, const fs::path& path);

// Each tensor in the type that the file has it in: what inspecting shows.
absl::StatusOr<std::unique_ptr<ModelSource>> OpenAsStored(FileSystem& files,
                                                          const ModelFiles& model);
absl::StatusOr<std::unique_ptr<ModelSource>> OpenAsStored(FileSystem& files, const fs::path& path);

}  // namespace quantfleet::pipeline
