// Whether this machine's clock may be believed: the daemon signs and issues nothing at a time that
// its own past contradicts. What a wrong clock has signed outlives the mistake: certificates that
// begin next year lock their holders out until then.
//
// The newest time at which this daemon was at work is kept in a file, at most kSaveEvery old.
// Thread-safe. `files` and `clock` must outlive it.
#pragma once

#include <mutex>
#include <optional>

#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/status.h"
#include "common/trust/validity.h"

namespace quantfleet::daemon {

class ClockGuard {
 public:
  // Steps back by less are tolerated (time servers make them): certificates begin earlier by as
  // much, so that each one that was made still holds.
  static constexpr Duration kStepBack = trust::kBackdate;
  // As long as the server's certificate lives: a daemon that was off for longer is rare, and is
  // told so once; a clock that jumped is the more common reason.
  static constexpr Duration kLongestPause = std::chrono::hours(90 * 24);
  static constexpr Duration kSaveEvery = std::chrono::minutes(1);

  // `made`: the newest time that is known from elsewhere, where the file is not there yet.
  static absl::StatusOr<std::unique_ptr<ClockGuard>> Open(FileSystem& files, const Clock& clock,
                                                          const fs::path& file,
                                                          std::optional<Time> made);
  // "This clock is right": forgets what was seen before. What to tell people. The daemon must not
  // be running.
  static absl::StatusOr<std::string> Accept(FileSystem& files, const Clock& clock,
                                            const fs::path& file);

  // OK: now is a time to sign at, and is kept. FAILED_PRECONDITION with a retry-after
  // (base/retry_after.h): the clock is behind what was signed, or too far ahead of it; the message
  // has both times and the remedy.
  absl::Status Check();

 private:
  ClockGuard(FileSystem& files, const Clock& clock, fs::path file, std::optional<Time> made,
             std::optional<Time> saved);

  FileSystem& files_;
  const Clock& clock_;
  const fs::path file_;
  const std::optional<Time> made_;
  std::mutex mutex_;
  std::optional<Time> saved_;   // as the file has it
  std::optional<Time> newest_;  // of Check, or as it was saved
};

}  // namespace quantfleet::daemon
