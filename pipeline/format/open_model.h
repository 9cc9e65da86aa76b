// Opens a model as its authors publish it: an HF folder of safetensors, or a GGUF file.
#pragma once

#include <memory>

#include "pipeline/model/source.h"

namespace quantfleet::pipeline {

absl::StatusOr<std::unique_ptr<ModelSource>> OpenModel(FileSystem& files, const fs::path& path);

}  // namespace quantfleet::pipeline
