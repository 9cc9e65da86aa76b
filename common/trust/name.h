// The names that stand in certificates and tokens: letters, digits and ._@- only, so that they need
// no escaping in URIs, paths, tables or logs. Pure.
#pragma once

#include <algorithm>
#include <string_view>

namespace quantfleet::trust {

inline constexpr size_t kMaxNameSize = 64;  // X.509's bound on a common name

inline bool IsPlainName(std::string_view name) {
  const auto plain = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' ||
           c == '_' || c == '@' || c == '-';
  };
  return !name.empty() && name.size() <= kMaxNameSize && name.front() != '.' &&
         name.front() != '-' && std::ranges::all_of(name, plain);
}

}  // namespace quantfleet::trust
