// Texts in quotes, as Python reads their escapes. Pure.
#pragma once

#include <string>
#include <string_view>

#include "common/base/status.h"

namespace quantfleet::jinja {

// \r\n and \r become \n.
std::string NormalizeLineEnds(std::string_view text);

// What stands between the quotes, escapes replaced. INVALID_ARGUMENT: an escape that ends too early
// or is no character.
absl::StatusOr<std::string> Unescape(std::string_view text);

}  // namespace quantfleet::jinja
