// One agent per state folder: a lock that the kernel releases with the process, even after SIGKILL.
#pragma once

#include <memory>
#include <optional>
#include <utility>

#include "common/base/file.h"
#include "common/base/status.h"

namespace quantfleet::agent {

// Where the agent keeps its state by default.
fs::path DefaultStateFolder();

class StateLock {
 public:
  // FAILED_PRECONDITION when another process holds it.
  static absl::StatusOr<StateLock> Take(FileSystem& files, const fs::path& state);
  // nullopt when another process holds it.
  static absl::StatusOr<std::optional<StateLock>> TryTake(FileSystem& files, const fs::path& state);

 private:
  explicit StateLock(std::unique_ptr<FileLock> lock) : lock_(std::move(lock)) {}
  std::unique_ptr<FileLock> lock_;
};

// Whether an agent holds the folder now.
bool IsHeld(FileSystem& files, const fs::path& state);

}  // namespace quantfleet::agent
