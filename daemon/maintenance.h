// What is done to a data folder by a command of its own: copies that can be kept elsewhere, and
// changes of its keys. The functions may be called while a daemon runs only where they say so.
#pragma once

#include <string>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/status.h"

namespace quantfleet::daemon {

// State and keys of `data`, also while its daemon runs, in the new folder `out`: whole or absent.
// Blobs are not among them: jobs make them again, with the same digests. ALREADY_EXISTS: `out` is
// there.
absl::Status BackUp(FileSystem& files, const fs::path& data, const fs::path& out);
// Makes `data`, which holds no state yet, out of such a folder. FAILED_PRECONDITION: it does, or a
// daemon runs on it.
absl::Status Restore(FileSystem& files, const fs::path& from, const fs::path& data);

// A new signing key beside the present one, and its signature under every statement that is kept.
// Killed in the middle and called again it ends what was begun. What was done, for people.
absl::StatusOr<std::string> RotateSigningKey(FileSystem& files, const Clock& clock,
                                             const fs::path& data);
// A second CA beside the present one: devices hear of it, and change to certificates of its own.
absl::StatusOr<std::string> RotateCa(FileSystem& files, const Clock& clock, const fs::path& data);
// Ends either: drops the old signing key, or the old CA. FAILED_PRECONDITION names how many devices
// do not know the new one yet, or still have a certificate of the old one: they would be cut off;
// `force`: all the same.
absl::StatusOr<std::string> RetireOldKeys(FileSystem& files, const Clock& clock,
                                          const fs::path& data, bool force);

// This machine's clock is right, although it contradicts what was signed before
// (trust/clock_guard.h). What to tell people.
absl::StatusOr<std::string> AcceptClock(FileSystem& files, const Clock& clock,
                                        const fs::path& data);

}  // namespace quantfleet::daemon
