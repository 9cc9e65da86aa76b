// The tensors of an artifact that is no GGUF, as its files name them: what inspecting shows, and
// where measuring reads them. The files are untrusted.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/base/file.h"

namespace quantfleet::pipeline {

struct StoredTensor {
  std::string name;
  std::string type;            // "U32", "UINT8", "i4"
  std::vector<int64_t> shape;  // slowest first
  uint64_t bytes;
  std::string file;  // which holds its values, relative to the folder
  uint64_t offset;   // in that file; all bytes lie in it
};

// Of the .safetensors, .onnx and OpenVINO's .xml files among `paths`, which are relative to
// `folder`; those that a model.onnx holds inside itself are left out. Errors name the file.
absl::StatusOr<std::vector<StoredTensor>> StoredTensors(FileSystem& files, const fs::path& folder,
                                                        const std::vector<std::string>& paths);

}  // namespace quantfleet::pipeline
