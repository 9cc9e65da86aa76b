// What a parameterized test may be called after: gtest takes letters, digits and '_' alone.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

namespace quantfleet::testing {

inline std::string TestName(std::string_view name) {
  std::string text(name);
  std::ranges::replace(text, '-', '_');
  return text;
}

}  // namespace quantfleet::testing
