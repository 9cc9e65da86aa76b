// A source as one GGUF file of the same values, for the embedded engine to run: what artifacts are
// measured against, and what a calibration reads.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/base/file.h"
#include "pipeline/stage/executor.h"
#include "pipeline/stage/folder_sink.h"

namespace quantfleet::pipeline {

// The recipe of the engine's format that holds every value of the source exactly.
std::string_view ExactRecipe(const ModelDescription& model);

// What its copy takes of a disk.
absl::StatusOr<uint64_t> ExactCopyBytes(const ModelSource& source);

struct ExactCopy {
  fs::path file;
  Digest source_digest;
};
// Written below `folder`, as FolderSink writes artifacts; errors are its own and Execute's.
absl::StatusOr<ExactCopy> WriteExactCopy(FileSystem& files, const ModelSource& source,
                                         const fs::path& folder, const ExecutorOptions& options);

// An artifact of a format that the engine does not run, as one GGUF file of the values that its
// codes stand for; `files_of_it`, `format` and `model` as DequantizedSource::Open takes them.
absl::StatusOr<ExactCopy> WriteDequantizedCopy(FileSystem& files, const fs::path& artifact,
                                               const std::vector<std::string>& files_of_it,
                                               std::string_view format,
                                               const ModelDescription& model,
                                               const fs::path& folder,
                                               const ExecutorOptions& options);

}  // namespace quantfleet::pipeline
