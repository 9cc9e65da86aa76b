// Unicode's normalization forms, and what a reader takes for one character. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace quantfleet::text {

enum class UnicodeForm { kNfc, kNfd, kNfkc, kNfkd };
// Bytes that are not UTF-8 stay as they are.
void NormalizeUnicode(UnicodeForm form, std::string& text);

// How long the first extended grapheme cluster of a text is, which is not empty.
size_t FirstGraphemeLength(std::string_view text);

}  // namespace quantfleet::text
