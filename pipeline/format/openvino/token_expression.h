// Expressions of PCRE2 for the operations of OpenVINO's tokenizers. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"
#include "text/tokenizer/tokenizer_data.h"

namespace quantfleet::pipeline {

// What matches a text itself.
std::string QuotedExpression(std::string_view text);
// What Oniguruma's expression matches. Errors as text::RegularExpression's.
absl::StatusOr<std::string> Pcre2Expression(std::string_view oniguruma);
// What stands in place of a match, not as `$1`.
std::string QuotedReplacement(std::string_view text);

// Finds tokens, which are not empty, in a text, of those that begin at one place the longest, with
// the white space that they swallow, and captures each without it. UNIMPLEMENTED for tokens that
// have to be words, are too long, or too many with unlike flags.
absl::StatusOr<std::string> TokenExpression(const std::vector<text::AddedToken>& tokens);

}  // namespace quantfleet::pipeline
