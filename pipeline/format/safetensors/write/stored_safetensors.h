// The tensors that an artifact of safetensors files holds, as these name them: what inspecting
// shows, and where measuring reads them. The files are untrusted.
#pragma once

#include "pipeline/format/target_format.h"

namespace quantfleet::pipeline {

// As StoredWeights::list has it: of .safetensors files.
absl::StatusOr<std::vector<StoredTensor>> StoredSafetensors(FileSystem& files,
                                                            const fs::path& folder,
                                                            const std::vector<std::string>& paths);

}  // namespace quantfleet::pipeline
