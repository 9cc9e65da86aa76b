// Oniguruma's regular expressions, which tokenizer.json is written in, in PCRE2's syntax. Where the
// two read one text differently, the translation says what Oniguruma means: \s is White_Space and
// \w has marks and connectors, \p{Han} is the script and not its extensions, `[a&&[^b]]` is an
// intersection, `x{1,3}+` repeats, and (?m) lets the dot match a line's end. Pure.
#pragma once

#include <string>
#include <string_view>

#include "common/base/status.h"

namespace quantfleet::text {

// INVALID_ARGUMENT names the byte at which the expression cannot be read, UNIMPLEMENTED what has no
// counterpart.
absl::StatusOr<std::string> ToPcre2(std::string_view oniguruma);

}  // namespace quantfleet::text
