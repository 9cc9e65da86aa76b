// Characters as Python's str sees them, where that is not Unicode's own view. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace quantfleet::jinja {

// As str.isspace says of one character.
bool IsSpace(uint32_t character);
// Bytes of the white space character at the text's beginning (or end); 0: none.
size_t SpaceBytes(std::string_view text, bool at_end);
// Bytes of the line's end that str.splitlines sees at the text's beginning; 0: none.
size_t LineEndBytes(std::string_view text);

// As str.isalnum; regular expressions' \w without "_".
bool IsAlphanumeric(uint32_t character);
// As str.isupper and str.islower say of a text: some character has that case, and none another.
bool IsUpperText(std::string_view text);
bool IsLowerText(std::string_view text);

}  // namespace quantfleet::jinja
