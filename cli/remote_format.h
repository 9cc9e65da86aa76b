// Text for people: tables, sizes, times, bars. Whatever comes from outside is printed without its
// control characters, so that a device's name cannot steer the operator's terminal. Pure.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/clock.h"
#include "common/base/status.h"

namespace quantfleet::cli {

// As outside_text.h shows it, uncut.
std::string Printable(std::string_view text);

// Columns are as wide as their widest cell, with two blanks between; those whose heading begins
// with '>' are aligned right.
class Table {
 public:
  explicit Table(std::vector<std::string> headings);
  void Add(std::vector<std::string> row);
  // The table, or `if_empty`, for people, when there are no rows.
  std::string ToString(std::string_view if_empty) const;

 private:
  std::vector<std::string> headings_;
  std::vector<bool> right_;
  std::vector<std::vector<std::string>> rows_;
};

// "name:  value" lines, values in one column.
std::string Fields(const std::vector<std::pair<std::string, std::string>>& fields);

std::string Join(const auto& words, std::string_view between) {
  std::string text;
  for (const std::string& word : words) text.append(text.empty() ? "" : between).append(word);
  return text;
}

// "ring=early,site=lab", by key.
std::string LabelsText(const auto& labels) {
  std::vector<std::string> parts;
  for (const auto& [key, value] : labels) parts.push_back(key + "=" + value);
  std::ranges::sort(parts);
  return Join(parts, ",");
}

std::string HumanCount(uint64_t n);        // "3.8 M"
std::string HumanDuration(Duration time);  // "3h 20m", "45s"
// "3h 20m ago", "in 5m", "-" for 0 (never).
std::string Relative(int64_t unix_ms, Time now);
// The same of what has happened: a time to come was written by a clock that was ahead, and says
// nothing ("in the future").
std::string Ago(int64_t unix_ms, Time now);
std::string UtcTime(int64_t unix_ms);           // "2026-11-25 00:20:45 UTC", "-" for 0
std::string ShortDigest(std::string_view raw);  // 12 hex digits of raw bytes, "-" when empty
std::string HexDigest(std::string_view raw);
std::string Share(uint64_t part, uint64_t whole);              // "51 %"
std::string Bar(uint64_t part, uint64_t whole, size_t width);  // "[#####-----]"

// "90s", "30m", "24h", "7d", "1d12h". INVALID_ARGUMENT for anything else, 0 included; at most ten
// years.
absl::StatusOr<int64_t> ParseDurationSeconds(std::string_view text);

// Splits "key=value".
absl::StatusOr<std::pair<std::string, std::string>> ParseLabel(std::string_view text);

}  // namespace quantfleet::cli
