// The option --lora, and the model together with what it names: the same for quantizing and
// pushing.
#pragma once

#include <string>
#include <vector>

#include "cli/command.h"
#include "pipeline/format/safetensors/model_files.h"

namespace quantfleet::cli {

// Each is "DIR" or "DIR:SCALE"; anything else is wrong usage.
void AddLoraOption(CLI::App* command, std::vector<std::string>& lora);

// The files of the model at `path`, and of the adapters, in their order.
absl::StatusOr<pipeline::ModelFiles> ResolveModelWith(FileSystem& files, const fs::path& path,
                                                      const std::vector<std::string>& lora);

}  // namespace quantfleet::cli
