#include "agent/platform/state_lock.h"

namespace quantfleet::agent {
namespace {

fs::path LockPath(const fs::path& state) { return state / "lock"; }

}  // namespace

fs::path DefaultStateFolder() { return "/var/lib/quantfleet-agent"; }

absl::StatusOr<std::optional<StateLock>> StateLock::TryTake(FileSystem& files,
                                                            const fs::path& state) {
  QF_ASSIGN_OR_RETURN(auto lock, files.Lock(LockPath(state)));
  if (!lock) return std::nullopt;
  return StateLock(std::move(lock));
}

absl::StatusOr<StateLock> StateLock::Take(FileSystem& files, const fs::path& state) {
  QF_ASSIGN_OR_RETURN(auto lock, TryTake(files, state));
  if (lock) return *std::move(lock);
  return FailedPrecondition(
      "another agent is using {}: stop it first, or pass another folder with --state",
      state.string());
}

bool IsHeld(FileSystem& files, const fs::path& state) { return files.IsLocked(LockPath(state)); }

}  // namespace quantfleet::agent
