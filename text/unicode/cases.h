// Upper, lower and title case, as Unicode's full mappings have them: "ß" becomes "SS". Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace quantfleet::text {

// Append what one character becomes, which may be up to three characters.
void AppendLower(uint32_t c, std::string& out);
void AppendUpper(uint32_t c, std::string& out);
void AppendTitle(uint32_t c, std::string& out);
// What is compared where cases do not count.
void AppendFolded(uint32_t c, std::string& out);

// Whether the capital sigma at a place in a text ends a word: its lower case is another then.
bool IsFinalSigma(std::string_view text, size_t at);

}  // namespace quantfleet::text
