#include "cli/remote_format.h"

#include <algorithm>
#include <ctime>
#include <limits>

#include "common/base/bytes.h"
#include "common/base/outside_text.h"
#include "common/trust/validity.h"

namespace quantfleet::cli {
namespace {

// Columns that a UTF-8 text takes, near enough for names and descriptions: its code points.
size_t Width(std::string_view text) {
  return static_cast<size_t>(
      std::ranges::count_if(text, [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string Pad(std::string_view text, size_t width, bool right) {
  const std::string fill(width - std::min(width, Width(text)), ' ');
  return right ? fill + std::string(text) : std::string(text) + fill;
}

}  // namespace

std::string Printable(std::string_view text) {
  return Shown(text, std::numeric_limits<size_t>::max());
}

Table::Table(std::vector<std::string> headings) : headings_(std::move(headings)) {
  for (std::string& heading : headings_) {
    right_.push_back(heading.starts_with('>'));
    if (right_.back()) heading.erase(0, 1);
  }
}

void Table::Add(std::vector<std::string> row) {
  row.resize(headings_.size());
  for (std::string& cell : row) cell = cell.empty() ? "-" : Printable(cell);
  rows_.push_back(std::move(row));
}

std::string Table::ToString(std::string_view if_empty) const {
  if (rows_.empty()) return std::string(if_empty) + "\n";
  std::vector<size_t> widths;
  for (size_t i = 0; i < headings_.size(); ++i) {
    size_t width = Width(headings_[i]);
    for (const auto& row : rows_) width = std::max(width, Width(row[i]));
    widths.push_back(width);
  }
  std::string out;
  const auto line = [&](const std::vector<std::string>& row) {
    std::string text;
    for (size_t i = 0; i < row.size(); ++i)
      text += (i ? "  " : "") + Pad(row[i], widths[i], right_[i]);
    text.erase(text.find_last_not_of(' ') + 1);
    out += text + "\n";
  };
  line(headings_);
  for (const auto& row : rows_) line(row);
  return out;
}

std::string Fields(const std::vector<std::pair<std::string, std::string>>& fields) {
  size_t width = 0;
  for (const auto& [name, value] : fields) width = std::max(width, Width(name) + 1);
  std::string out;
  for (const auto& [name, value] : fields)
    out += Pad(name + ":", width, false) + "  " + (value.empty() ? "-" : Printable(value)) + "\n";
  return out;
}

std::string HumanCount(uint64_t n) {
  constexpr std::pair<double, const char*> kUnits[] = {
      {1e12, "T"}, {1e9, "B"}, {1e6, "M"}, {1e3, "k"}};
  for (const auto& [unit, name] : kUnits)
    if (static_cast<double>(n) >= unit)
      return fmt::format("{:.1f} {}", static_cast<double>(n) / unit, name);
  return fmt::format("{}", n);
}

std::string HumanDuration(Duration time) {
  const int64_t s = std::max<int64_t>(0, time.count() / 1000);
  if (s < 60) return fmt::format("{}s", s);
  if (s < 3600) return s % 60 ? fmt::format("{}m {}s", s / 60, s % 60) : fmt::format("{}m", s / 60);
  if (s < 86400)
    return s / 60 % 60 ? fmt::format("{}h {}m", s / 3600, s / 60 % 60)
                       : fmt::format("{}h", s / 3600);
  return s / 3600 % 24 ? fmt::format("{}d {}h", s / 86400, s / 3600 % 24)
                       : fmt::format("{}d", s / 86400);
}

std::string Relative(int64_t unix_ms, Time now) {
  if (unix_ms == 0) return "-";
  const Time time = FromUnixMillis(unix_ms);
  if (time > now + std::chrono::seconds(1)) {
    // To the nearest minute where seconds are not shown: a token just made for a day expires "in
    // 1d".
    const Duration left = time - now;
    return "in " + HumanDuration(left < std::chrono::hours(1)
                                     ? left
                                     : std::chrono::round<std::chrono::minutes>(left));
  }
  return HumanDuration(now - time) + " ago";
}

std::string Ago(int64_t unix_ms, Time now) {
  // The daemon's clock and this computer's may differ a little.
  if (FromUnixMillis(unix_ms) > now + trust::kBackdate) return "in the future";
  return Relative(std::min(unix_ms, ToUnixMillis(now)), now);
}

std::string UtcTime(int64_t unix_ms) {
  if (unix_ms == 0) return "-";
  const std::time_t seconds = unix_ms / 1000;
  std::tm parts{};
  if (!::gmtime_r(&seconds, &parts)) return fmt::format("{} ms", unix_ms);
  return fmt::format("{:04}-{:02}-{:02} {:02}:{:02}:{:02} UTC", parts.tm_year + 1900,
                     parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
}

std::string HexDigest(std::string_view raw) { return raw.empty() ? "-" : ToHex(AsBytes(raw)); }

std::string ShortDigest(std::string_view raw) { return HexDigest(raw.substr(0, 6)); }

std::string Share(uint64_t part, uint64_t whole) {
  if (whole == 0) return "-";
  return fmt::format("{} %", static_cast<int>(100.0 * static_cast<double>(std::min(part, whole)) /
                                              static_cast<double>(whole)));
}

std::string Bar(uint64_t part, uint64_t whole, size_t width) {
  const double share =
      whole ? static_cast<double>(std::min(part, whole)) / static_cast<double>(whole) : 0;
  const auto full = static_cast<size_t>(share * static_cast<double>(width));
  return "[" + std::string(full, '#') + std::string(width - full, '-') + "]";
}

absl::StatusOr<int64_t> ParseDurationSeconds(std::string_view text) {
  const auto refuse = [text] {
    return InvalidArgument(
        "'{}' is not a duration: write 90s, 30m, 24h, 7d or 1d12h; the maximum is 3650d",
        Printable(text));
  };
  constexpr int64_t kMax = int64_t{3650} * 86400;
  int64_t total = 0;
  std::string_view rest = text;
  while (!rest.empty()) {
    size_t digits = 0;
    int64_t n = 0;
    for (; digits < rest.size() && rest[digits] >= '0' && rest[digits] <= '9'; ++digits) {
      n = n * 10 + (rest[digits] - '0');
      if (n > kMax) return refuse();
    }
    if (digits == 0 || digits == rest.size()) return refuse();
    int64_t unit = 0;
    switch (rest[digits]) {
      case 's':
        unit = 1;
        break;
      case 'm':
        unit = 60;
        break;
      case 'h':
        unit = 3600;
        break;
      case 'd':
        unit = 86400;
        break;
      default:
        return refuse();
    }
    total += n * unit;
    if (total > kMax) return refuse();
    rest.remove_prefix(digits + 1);
  }
  if (total == 0) return refuse();
  return total;
}

absl::StatusOr<std::pair<std::string, std::string>> ParseLabel(std::string_view text) {
  const size_t equals = text.find('=');
  if (equals == std::string_view::npos || equals == 0)
    return InvalidArgument("'{}' is not a label: write key=value", Printable(text));
  return std::pair(std::string(text.substr(0, equals)), std::string(text.substr(equals + 1)));
}

}  // namespace quantfleet::cli
