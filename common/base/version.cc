#include "common/base/version.h"

#include <charconv>

namespace quantfleet {

std::optional<Version> ParseVersion(std::string_view text) {
  constexpr size_t kMaxDigits = 6;
  Version version{};
  for (size_t i = 0; i < version.size(); ++i) {
    const bool last = i + 1 == version.size();
    const size_t end = last ? text.size() : text.find('.');
    if (end == std::string_view::npos || end == 0 || end > kMaxDigits) return std::nullopt;
    const auto [stopped, error] = std::from_chars(text.data(), text.data() + end, version[i]);
    if (error != std::errc() || stopped != text.data() + end) return std::nullopt;
    text.remove_prefix(last ? end : end + 1);
  }
  return version;
}

}  // namespace quantfleet
