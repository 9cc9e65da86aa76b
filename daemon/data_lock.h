// Makes a process the only daemon of a data folder, for as long as the object lives. Not
// thread-safe.
#pragma once

#include "common/base/file.h"
#include "common/base/status.h"

namespace quantfleet::daemon {

class DataLock {
 public:
  // FAILED_PRECONDITION when another process holds it. The kernel lets go of the lock when a
  // process dies.
  static absl::StatusOr<DataLock> Take(const fs::path& data);
  DataLock(DataLock&& other) noexcept;
  DataLock& operator=(DataLock&&) = delete;
  ~DataLock();

 private:
  explicit DataLock(int fd) : fd_(fd) {}
  int fd_;
};

}  // namespace quantfleet::daemon
