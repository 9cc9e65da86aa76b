// One agent per state folder: a lock that the kernel lets go with the process, also after SIGKILL.
#pragma once

#include "common/base/file.h"
#include "common/base/status.h"

namespace quantfleet::agent {

// Where the agent keeps its state unless told otherwise.
fs::path DefaultStateFolder();

class StateLock {
 public:
  // FAILED_PRECONDITION when another process holds it.
  static absl::StatusOr<StateLock> Take(const fs::path& state);
  StateLock(StateLock&& other) noexcept;
  StateLock& operator=(StateLock&& other) noexcept;
  ~StateLock();

 private:
  explicit StateLock(int fd) : fd_(fd) {}
  int fd_ = -1;
};

// Whether an agent holds the folder now.
bool IsHeld(const fs::path& state);

}  // namespace quantfleet::agent
