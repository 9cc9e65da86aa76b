// Refuses keys, credentials and state that others may read or change, and names the command that
// mends it: whoever could have read a key owns it too, and whoever can change a folder decides what
// is trusted there.
//
// Looks at the machine's own disk. An absent path is OK here: whoever opens it will report that.
// FAILED_PRECONDITION names the path, its mode and the command. Thread-safe, except for
// KeepOthersFromWriting.
#pragma once

#include <unistd.h>

#include <string>

#include "common/base/file.h"
#include "common/base/status.h"

namespace quantfleet {

// A file that nobody else may read or change. It belongs to `user`, who runs this process, or to
// root; root accepts any owner.
absl::Status CheckPrivate(const fs::path& file, uid_t user = ::geteuid());
// The same of an open file; `file` is for the error.
absl::Status CheckPrivate(int fd, const fs::path& file, uid_t user = ::geteuid());
// Whether there is a link at `path`. FAILED_PRECONDITION when neither `user` nor root made it: in a
// folder that others may write, it leads wherever they like.
absl::StatusOr<bool> IsOwnLink(const fs::path& path, uid_t user = ::geteuid());
// A file or folder that others may read but not change.
absl::Status CheckUnshared(const fs::path& path, uid_t user = ::geteuid());

// Where root runs a command on the state of a service that runs as another user, what it writes
// there would be root's alone and the service could not read it. Says as whom to run instead.
absl::Status CheckIsOwn(const fs::path& folder, uid_t user = ::geteuid());

// ReadAll of a file that is opened as OpenMode::kSecret.
absl::StatusOr<std::string> ReadPrivate(FileSystem& files, const fs::path& path, uint64_t limit);

// From now on nothing that this process creates is writable by others, whatever the umask was.
// Programs call it at their start.
void KeepOthersFromWriting();

// From now on this process leaves no core dump, and no other process of the same user can read its
// memory: it holds keys. Programs call it at their start. Does nothing where QUANTFLEET_DEBUG is
// set, for debuggers, and in a build with sanitizers, which look at their own memory.
void KeepMemoryPrivate();

}  // namespace quantfleet
