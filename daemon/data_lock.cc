#include "daemon/data_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace quantfleet::daemon {

absl::StatusOr<DataLock> DataLock::Take(const fs::path& data) {
  const fs::path path = data / "lock";
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return ErrnoStatus(errno, fmt::format("opening {}", path.string()));
  if (::flock(fd, LOCK_EX | LOCK_NB) == 0) return DataLock(fd);
  const int error = errno;
  ::close(fd);
  if (error == EWOULDBLOCK)
    return FailedPrecondition(
        "another quantfleetd uses {}: stop it, or choose another folder with --data",
        data.string());
  return ErrnoStatus(error, fmt::format("locking {}", path.string()));
}

DataLock::DataLock(DataLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
DataLock::~DataLock() {
  if (fd_ >= 0) ::close(fd_);
}

}  // namespace quantfleet::daemon
