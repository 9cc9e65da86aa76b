// What a device must not forget about a model: STATE/models/<model>/record.json. Saved before
// anything is done about it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/update/assignment.h"
#include "agent/update/downloader.h"
#include "agent/update/verdict.h"
#include "common/base/file.h"

namespace quantfleet::agent {

inline constexpr size_t kMaxDetail = 1024;  // bytes of a detail, as the daemon takes it

struct ModelRecord {
  uint64_t release = 0;            // highest accepted; 0: none
  std::optional<Digest> assigned;  // what that release assigns; nullopt: the model's removal
  std::optional<Digest>
      manifest;  // what the device makes of it: `assigned`, or what it stepped down to
  enum class Outcome { kOpen, kHealthy, kHealthFailed, kRemoved } outcome = Outcome::kOpen;
  v1::HealthPolicy health;  // of that release
  std::optional<v1::Runtime> runtime;
  v1::NetworkPolicy network;
  v1::ContextPolicy context;
  std::vector<Digest> step_down;           // where it may go on, in this order
  std::vector<v1::StepDown> stepped_down;  // where it was, in order
  bool ran_before =
      false;  // `manifest` ran, proven, when it was taken up: it runs on whatever comes of it
  uint32_t attempts = 0;         // to activate, that the process did not live to end
  std::optional<Reason> reason;  // of kHealthFailed
  std::string detail;            // likewise; of kHealthy, what could not be looked at
  double tokens_per_second = 0;  // of kHealthy
  DownloadProgress progress;     // of kHealthy
};

// An empty record when there is none yet.
absl::StatusOr<ModelRecord> LoadModelRecord(FileSystem& files, const fs::path& model_folder);
absl::Status SaveModelRecord(FileSystem& files, const fs::path& model_folder,
                             const ModelRecord& record);

}  // namespace quantfleet::agent
