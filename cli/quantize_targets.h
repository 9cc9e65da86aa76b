// From the arguments of `quantfleet quantize` to targets: named recipes, recipe files, and the
// changes that options make to them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/base/file.h"
#include "pipeline/stage/plan.h"

namespace quantfleet::cli {

// As the options give them.
struct TargetWords {
  std::vector<std::string> targets = {};       // "gguf:q4_k_m", or "onnx:FILE.toml"
  std::vector<std::string> tensor_types = {};  // "REGEX=TYPE", "role:ROLE=TYPE"
  std::string output_type = {}, embedding_type = {};
  bool pure = false;
};

// Whether a target names a recipe file instead of a recipe.
bool IsRecipeFile(std::string_view target);

// The changes apply to every target, before those that a recipe file makes itself. Reads the files
// that targets name.
absl::StatusOr<std::vector<pipeline::TargetSpec>> ReadTargets(FileSystem& files,
                                                              const TargetWords& words);

}  // namespace quantfleet::cli
