// What a calibration needs before its first layer: a file that the engine runs, and a text's
// tokens. Both take time, so they lie in a scratch folder, and a run that resumes finds them
// there. One thread at a time.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "engine/calibrate/calibration_folder.h"
#include "engine/calibrate/self_text.h"
#include "pipeline/format/safetensors/model_files.h"
#include "pipeline/stage/executor.h"

namespace quantfleet::engine {

// The file that the engine maps, where the model is one GGUF and nothing is merged into it.
std::optional<fs::path> RunsAsItIs(const pipeline::ModelFiles& files);

struct RunnableSource {
  fs::path gguf;
  Digest digest;  // of the source, as manifests have it
};
struct RunnableSourceOptions {
  bool resume = false;
  pipeline::ExecutorOptions execution = {};  // of reading the weights
  std::function<void()> on_copy = {};        // a copy is made, which takes disk space
};
// The model's own file, or else a copy in the source's precision, which lies in `scratch`.
absl::StatusOr<RunnableSource> MakeRunnable(FileSystem& files, const pipeline::ModelSource& source,
                                            const pipeline::ModelFiles& model,
                                            const fs::path& scratch,
                                            const RunnableSourceOptions& options);

// The text that the model of this source digest writes itself, in chunks. Errors as WriteSelfText.
absl::StatusOr<std::vector<int32_t>> WriteOrFindSelfText(FileSystem& files, RunnableModel& model,
                                                         const text::Tokenizer& tokenizer,
                                                         const CalibrationFolder& folder,
                                                         const Digest& source, bool resume,
                                                         const SelfTextOptions& options);

}  // namespace quantfleet::engine
