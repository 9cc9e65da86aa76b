#include "common/trust/validity.h"

#include <fmt/format.h>

namespace quantfleet::trust {

std::string UtcText(Time time) {
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(std::chrono::floor<std::chrono::seconds>(time - day));
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                     clock.hours().count(), clock.minutes().count(), clock.seconds().count());
}

std::string LengthText(Duration length) {
  const auto seconds = std::chrono::round<std::chrono::seconds>(length).count();
  if (seconds < 120) return fmt::format("{} s", seconds);
  if (seconds < 120 * 60) return fmt::format("{} min", (seconds + 30) / 60);
  const auto hours = (seconds + 1800) / 3600;
  if (hours < 48) return fmt::format("{} h", hours);
  return fmt::format("{} days", (hours + 12) / 24);
}

std::string DescribeClocks(const ClockPair& clocks, std::string_view here, Time certified) {
  const bool behind = clocks.here < clocks.daemon;
  std::string text = fmt::format("this {}'s clock ({}) is {} {} the daemon's ({})", here,
                                 UtcText(clocks.here), LengthText(clocks.apart()),
                                 behind ? "behind" : "ahead of", UtcText(clocks.daemon));
  const bool here_too_early =
      clocks.here < kEarliestTime || (certified != Time{} && clocks.here + kBackdate < certified);
  const bool daemon_too_early = clocks.daemon < kEarliestTime ||
                                (certified != Time{} && clocks.daemon + kBackdate < certified);
  if (daemon_too_early && !here_too_early)
    return text + fmt::format(
                      "; the daemon has issued a certificate at {}, so its clock was wrong then "
                      "or is wrong now: set the daemon's clock",
                      UtcText(certified));
  if (here_too_early && !daemon_too_early) return text + fmt::format(": set this {}'s clock", here);
  return text + fmt::format(": set this {}'s clock, or the daemon's if that one is wrong", here);
}

}  // namespace quantfleet::trust
