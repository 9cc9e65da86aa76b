#include "daemon/trust/clock_guard.h"

#include <algorithm>
#include <charconv>

#include "common/base/retry_after.h"

namespace quantfleet::daemon {
namespace {

// For devices: somebody has to see to the clock first.
constexpr Duration kAskAgain = std::chrono::minutes(1);

using trust::LengthText;
using trust::UtcText;

absl::StatusOr<std::optional<Time>> Read(FileSystem& files, const fs::path& file) {
  if (!files.Exists(file)) return std::optional<Time>();
  QF_ASSIGN_OR_RETURN(const std::string text, files.ReadAll(file, 64));
  int64_t ms = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), ms);
  if (error != std::errc() || ms < 0 || std::string_view(end, text.data() + text.size()) != "\n")
    return FailedPrecondition(
        "{} is damaged: check the clock of the daemon's machine, then run `quantfleetd clock "
        "accept`",
        file.string());
  return std::optional(FromUnixMillis(ms));
}

absl::Status Write(FileSystem& files, const fs::path& file, Time time) {
  return files.WriteAtomically(file, AsBytes(fmt::format("{}\n", ToUnixMillis(time))));
}

absl::Status Refuse(std::string_view why) {
  return WithRetryAfter(FailedPrecondition("{}", why), kAskAgain);
}

absl::Status CheckEarliest(Time now) {
  if (now >= trust::kEarliestTime) return absl::OkStatus();
  return Refuse(
      fmt::format("the daemon's clock says {}, which cannot be right: set it", UtcText(now)));
}

}  // namespace

ClockGuard::ClockGuard(FileSystem& files, const Clock& clock, fs::path file,
                       std::optional<Time> made, std::optional<Time> saved)
    : files_(files),
      clock_(clock),
      file_(std::move(file)),
      made_(made),
      saved_(saved),
      newest_(saved) {}

absl::StatusOr<std::unique_ptr<ClockGuard>> ClockGuard::Open(FileSystem& files, const Clock& clock,
                                                             const fs::path& file,
                                                             std::optional<Time> made) {
  QF_ASSIGN_OR_RETURN(const std::optional<Time> saved, Read(files, file));
  return std::unique_ptr<ClockGuard>(
      new ClockGuard(files, clock, file, saved ? std::nullopt : made, saved));
}

absl::StatusOr<std::string> ClockGuard::Accept(FileSystem& files, const Clock& clock,
                                               const fs::path& file) {
  const Time now = clock.Now();
  QF_RETURN_IF_ERROR(CheckEarliest(now));
  QF_RETURN_IF_ERROR(Write(files, file, now));
  return fmt::format("{} is accepted as the time. You can start the daemon", UtcText(now));
}

absl::Status ClockGuard::Check() {
  constexpr std::string_view kRemedy =
      "Set the clock of the daemon's machine; if it is right now, stop the daemon, run "
      "`quantfleetd "
      "clock accept`, and start it again";
  const Time now = clock_.Now();
  QF_RETURN_IF_ERROR(CheckEarliest(now));
  std::lock_guard lock(mutex_);
  const std::optional<Time> past = newest_ ? newest_ : made_;
  if (past && now + kStepBack < *past)
    return Refuse(fmt::format(
        "the daemon's clock says {}, but the daemon has signed until {}, {} later: what it signs "
        "now would contradict that. {}",
        UtcText(now), UtcText(*past), LengthText(*past - now), kRemedy));
  // How long a daemon was off is known only from its own file.
  if (newest_ && now > *newest_ + kLongestPause)
    return Refuse(fmt::format(
        "the daemon's clock says {}, {} after the daemon was last at work ({}): certificates made "
        "by a clock that is ahead would lock their holders out. {}",
        UtcText(now), LengthText(now - *newest_), UtcText(*newest_), kRemedy));
  if (!saved_ || now >= *saved_ + kSaveEvery) {
    const absl::Status written = Write(files_, file_, now);
    if (!written.ok()) return Annotate(written, "recording the time");
    saved_ = now;
  }
  newest_ = std::max(newest_.value_or(now), now);
  return absl::OkStatus();
}

}  // namespace quantfleet::daemon
