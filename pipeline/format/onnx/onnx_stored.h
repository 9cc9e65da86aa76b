// The tensors that an artifact of ONNX holds, as its files name them: what inspecting shows,
// and where measuring reads them. The files are untrusted.
#pragma once

#include "pipeline/format/target_format.h"

namespace quantfleet::pipeline {

// As StoredWeights::list has it: of .onnx files, the initializers that lie in files beside
// them.
absl::StatusOr<std::vector<StoredTensor>> StoredOnnxTensors(FileSystem& files,
                                                            const fs::path& folder,
                                                            const std::vector<std::string>& paths);

}  // namespace quantfleet::pipeline
