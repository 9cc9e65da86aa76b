// What filters and methods of texts share. Origin stays with every character. Pure.
#pragma once

#include <cstdint>
#include <vector>

#include "text/jinja/budget.h"
#include "text/jinja/marked_text.h"

namespace quantfleet::jinja {

MarkedText Lowered(const MarkedText& text);
MarkedText Uppered(const MarkedText& text);
// The first character of the text is upper case, all others lower.
MarkedText Capitalized(const MarkedText& text);
// The same of each word: of letters in a row.
MarkedText Titled(const MarkedText& text);
MarkedText CasesSwapped(const MarkedText& text);

// At most `count` of them, from the left; negative: all.
absl::StatusOr<MarkedText> Replaced(Budget& budget, const MarkedText& text, const MarkedText& old,
                                    const MarkedText& by, int64_t count);
// As str.splitlines.
std::vector<MarkedText> Lines(const MarkedText& text, bool keep_ends);

}  // namespace quantfleet::jinja
