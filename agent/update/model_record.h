// What a device must not forget about a model: STATE/models/<model>/record.json. Saved before anything is
// done about it.
#pragma once

#include <optional>
#include <string>

#include "agent/update/assignment.h"
#include "agent/update/downloader.h"
#include "common/base/file.h"

namespace quantfleet::agent {

struct ModelRecord {
  uint64_t release = 0;            // highest accepted; 0: none
  std::optional<Digest> manifest;  // what that release assigns; nullopt: the model's removal
  enum class Outcome { kOpen, kHealthy, kHealthFailed, kRemoved } outcome = Outcome::kOpen;
  v1::HealthPolicy health;         // of that release
  std::optional<v1::Runtime> runtime;
  std::string reason, detail;      // of kHealthFailed; of kHealthy, what could not be looked at
  double tokens_per_second = 0;    // of kHealthy
  DownloadProgress progress;       // of kHealthy
};

// An empty record when there is none yet.
absl::StatusOr<ModelRecord> LoadModelRecord(FileSystem& files, const fs::path& model_folder);
absl::Status SaveModelRecord(FileSystem& files, const fs::path& model_folder, const ModelRecord& record);

}  // namespace quantfleet::agent
