// What filters and methods of texts share. Origin stays with every character. Pure.
#pragma once

#include <cstdint>
#include <vector>

#include "text/jinja/budget.h"
#include "text/jinja/marked_text.h"

namespace quantfleet::jinja {

// As the methods of Python's str: lower, upper, casefold, capitalize, title, swapcase.
MarkedText Lowered(const MarkedText& text);
MarkedText Uppered(const MarkedText& text);
MarkedText Folded(const MarkedText& text);
MarkedText Capitalized(const MarkedText& text);
MarkedText Titled(const MarkedText& text);
MarkedText CasesSwapped(const MarkedText& text);

// At most `count` of them, from the left; negative: all.
absl::StatusOr<MarkedText> Replaced(Budget& budget, const MarkedText& text, const MarkedText& old,
                                    const MarkedText& by, int64_t count);
// As str.splitlines.
std::vector<MarkedText> Lines(const MarkedText& text, bool keep_ends);

}  // namespace quantfleet::jinja
