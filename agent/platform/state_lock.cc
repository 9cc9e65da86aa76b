#include "agent/platform/state_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace quantfleet::agent {
namespace {

fs::path LockPath(const fs::path& state) { return state / "lock"; }

}  // namespace

fs::path DefaultStateFolder() { return "/var/lib/quantfleet-agent"; }

absl::StatusOr<StateLock> StateLock::Take(const fs::path& state) {
  const int fd = ::open(LockPath(state).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return ErrnoStatus(errno, LockPath(state).string());
  StateLock lock(fd);
  if (::flock(fd, LOCK_EX | LOCK_NB) == 0) return lock;
  if (errno != EWOULDBLOCK) return ErrnoStatus(errno, LockPath(state).string());
  return FailedPrecondition(
      "another agent works in {}: stop it first, or name another folder with --state",
      state.string());
}

StateLock::StateLock(StateLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
StateLock& StateLock::operator=(StateLock&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}
StateLock::~StateLock() {
  if (fd_ >= 0) ::close(fd_);
}

bool IsHeld(const fs::path& state) {
  const int fd = ::open(LockPath(state).c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return false;
  const bool held = ::flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  ::close(fd);
  return held;
}

}  // namespace quantfleet::agent
