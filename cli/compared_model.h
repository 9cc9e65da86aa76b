// A model of `quantfleet compare`: a GGUF file, a folder of a model, or an artifact of any format,
// and what the embedded engine runs for it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>

#include "common/base/file.h"
#include "pipeline/model/source.h"
#include "pipeline/stage/executor.h"
#include "quantfleet/v1/manifest.pb.h"

namespace quantfleet::cli {

struct ComparedModel {
  std::string path;    // as it was given
  std::string target;  // of an artifact: "gguf:q4_0"; else what its files are: "safetensors"
  uint64_t bytes = 0;  // of all its files
  std::optional<v1::Manifest> manifest = {};  // of an artifact
  // Null: an artifact whose files do not say what model it was made of.
  std::unique_ptr<pipeline::ModelSource> source = {};
  // What the engine runs; empty: nothing yet.
  fs::path gguf = {};
  // Whether that is the model's own file, and not a copy of its values.
  bool own = false;
};

// Artifacts are verified, chunk by chunk. Errors name the file and what to do.
absl::StatusOr<ComparedModel> OpenCompared(FileSystem& files, const std::string& path,
                                           const std::stop_token& stop);

// INVALID_ARGUMENT: the same ids are other tokens in the two models, so that what one finds likely
// says nothing about the other. Models without a source are not judged here.
absl::Status CheckSameVocabulary(const ComparedModel& a, const ComparedModel& b);

// Writes a copy that the engine runs into `folder`, if the model is nothing that it runs. The model
// that an artifact of another runtime's format was made of is one of `others`. FAILED_PRECONDITION:
// none of them tells.
absl::Status MakeRunnable(FileSystem& files, ComparedModel& model,
                          std::span<const ComparedModel* const> others, const fs::path& folder,
                          const pipeline::ExecutorOptions& options);

}  // namespace quantfleet::cli
