// A model as the embedded engine can run it: its own file, or a copy made of it.
#pragma once

#include <optional>

#include "common/base/digest.h"
#include "common/base/file.h"
#include "pipeline/format/safetensors/model_files.h"
#include "pipeline/model/source.h"
#include "pipeline/stage/executor.h"

namespace quantfleet::cli {

// The engine maps one GGUF file; nullopt: a copy has to be made.
std::optional<fs::path> RunsAsItIs(const pipeline::ModelFiles& files);

struct EngineSource {
  fs::path gguf;
  Digest source;  // of the model, as manifests have it
};
// A copy is made below `scratch`, in the source's precision, and said on stderr. `resume`: what an
// earlier call found there counts, if the source is the same.
absl::StatusOr<EngineSource> MakeEngineSource(const pipeline::ModelFiles& files,
                                              const pipeline::ModelSource& source,
                                              const fs::path& scratch, bool resume,
                                              pipeline::ExecutorOptions execution);

}  // namespace quantfleet::cli
