// Which program of the agent a device runs: STATE/models/quantfleet-agent/launch.json, beside the
// slots that hold the programs.
#pragma once

#include <optional>

#include "common/base/digest.h"
#include "common/base/file.h"

namespace quantfleet::agent {

struct LaunchRecord {
  std::optional<Digest> program =
      {};                 // the release that runs, by its manifest; nullopt: the installed program
  bool proven = false;    // it has spoken to the daemon since it was chosen
  uint32_t attempts = 0;  // to start it that did not come far: see SelfHost::Lives
  std::optional<Digest> previous = {};  // the proven one before it
  std::optional<Digest> given_up = {};  // was started too often in vain; not reported yet
  uint32_t given_up_after = 0;          // so many starts
  fs::path installed = {};              // what the service manager starts

  bool operator==(const LaunchRecord&) const = default;
};

// Where the agent's own model is kept: STATE/models/quantfleet-agent.
fs::path SelfFolder(const fs::path& state);

// An empty record when there is none. DATA_LOSS: it is damaged.
absl::StatusOr<LaunchRecord> LoadLaunchRecord(FileSystem& files, const fs::path& self_folder);
// Durable on return.
absl::Status SaveLaunchRecord(FileSystem& files, const fs::path& self_folder,
                              const LaunchRecord& record);

}  // namespace quantfleet::agent
