#include "common/base/nearest.h"

#include <algorithm>
#include <vector>

namespace quantfleet {
namespace {

constexpr size_t kLongest = 256;  // the work grows with the square of it

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

// Levenshtein's distance, a row of the table at a time.
size_t Distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (Lower(a[i - 1]) == Lower(b[j - 1]) ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row.back();
}

}  // namespace

std::string_view NearestName(std::string_view name, std::span<const std::string_view> known) {
  name = name.substr(0, kLongest);
  std::string_view nearest;
  size_t least = 0;
  for (const std::string_view candidate : known) {
    const size_t distance = Distance(name, candidate.substr(0, kLongest));
    if (!nearest.empty() && distance >= least) continue;
    nearest = candidate;
    least = distance;
  }
  return nearest;
}

std::string_view LikelyName(std::string_view name, std::span<const std::string_view> known) {
  const std::string_view nearest = NearestName(name, known);
  const size_t distance = Distance(name.substr(0, kLongest), nearest.substr(0, kLongest));
  return 2 * distance <= nearest.size() ? nearest : std::string_view();
}

}  // namespace quantfleet
