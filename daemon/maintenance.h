// What separate commands do to a data folder: copies that can be kept elsewhere, and changes of its
// keys. The functions may be called while a daemon runs only where they say so.
#pragma once

#include <string>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/status.h"

namespace quantfleet::daemon {

// Copies state and keys of `data`, even while its daemon runs, to the new folder `out`, which is
// whole or absent; with `models`, the files of pushed models as well. Blobs are not copied: jobs
// make them again, with the same digests. ALREADY_EXISTS: `out` exists. What is in it and what is
// not, for people.
absl::StatusOr<std::string> BackUp(FileSystem& files, const fs::path& data, const fs::path& out,
                                   bool models);
// Restores `data`, which holds no state yet, from such a folder. FAILED_PRECONDITION: it holds
// state, or a daemon runs on it. Which models have no files there, for people.
absl::StatusOr<std::string> Restore(FileSystem& files, const fs::path& from, const fs::path& data);

// Adds a signing key beside the present one, and its signature to every statement that is kept. If
// it is killed and called again, it finishes what was begun. Returns what was done, for people.
absl::StatusOr<std::string> RotateSigningKey(FileSystem& files, const Clock& clock,
                                             const fs::path& data);
// Adds a second CA beside the present one: devices learn of it and move to certificates that it
// issues.
absl::StatusOr<std::string> RotateCa(FileSystem& files, const Clock& clock, const fs::path& data);
// Completes either: drops the old signing key, or the old CA. FAILED_PRECONDITION says how many
// devices do not know the new one yet, or still have a certificate of the old one, and would be cut
// off; `force`: drop it anyway.
absl::StatusOr<std::string> RetireOldKeys(FileSystem& files, const Clock& clock,
                                          const fs::path& data, bool force);

// This machine's clock is right, although it contradicts what was signed before
// (trust/clock_guard.h). What to tell people.
absl::StatusOr<std::string> AcceptClock(FileSystem& files, const Clock& clock,
                                        const fs::path& data);

// When nobody can log in any more: DATA/admin.json counts again although its operator was revoked.
// It is in the audit log. FAILED_PRECONDITION: it was not revoked, or a daemon runs.
absl::StatusOr<std::string> RestoreAdmin(FileSystem& files, const Clock& clock,
                                         const fs::path& data);

}  // namespace quantfleet::daemon
