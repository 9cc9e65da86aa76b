// How deep a TOML document nests, before it is parsed: the parser and what it makes recurse, and
// 62 KB of "a.a.a" would end the process. Pure.
#pragma once

#include <string_view>

#include "common/base/status.h"

namespace quantfleet {

// Parts of one dotted key or header, and arrays and inline tables within each other: ours have 3.
inline constexpr int kMaxTomlDepth = 16;

// INVALID_ARGUMENT names the line that nests deeper. Of text that is not TOML it may say either.
absl::Status CheckTomlDepth(std::string_view text);

}  // namespace quantfleet
