#include "daemon/data_lock.h"

namespace quantfleet::daemon {

absl::StatusOr<DataLock> DataLock::Take(FileSystem& files, const fs::path& data) {
  QF_ASSIGN_OR_RETURN(auto lock, files.Lock(data / "lock"));
  if (lock) return DataLock(std::move(lock));
  return FailedPrecondition(
      "another quantfleetd is using {}: stop it, or choose another folder with --data",
      data.string());
}

}  // namespace quantfleet::daemon
