// Makes a process the only daemon of a data folder as long as the object lives. Not thread-safe.
#pragma once

#include <memory>
#include <utility>

#include "common/base/file.h"
#include "common/base/status.h"

namespace quantfleet::daemon {

class DataLock {
 public:
  // FAILED_PRECONDITION when another process holds it.
  static absl::StatusOr<DataLock> Take(FileSystem& files, const fs::path& data);

 private:
  explicit DataLock(std::unique_ptr<FileLock> lock) : lock_(std::move(lock)) {}
  std::unique_ptr<FileLock> lock_;
};

}  // namespace quantfleet::daemon
