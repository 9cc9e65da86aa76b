// Weights as PyTorch pickles them. They are never opened, because unpickling runs what the file
// says; whoever finds one in place of safetensors says how to convert it. Pure.
#pragma once

#include <string_view>

#include "common/base/file.h"
#include "common/base/status.h"

namespace quantfleet::pipeline {

// pytorch_model.bin, its shards and their index, consolidated.00.pth, *.pt, *.ckpt.
bool IsPickle(std::string_view file_name);

// INVALID_ARGUMENT with the command that converts the folder.
absl::Status PickleRefused(const fs::path& folder, std::string_view file_name);

}  // namespace quantfleet::pipeline
