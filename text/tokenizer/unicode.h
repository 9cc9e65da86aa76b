// What tokenizers ask about characters: code points of bytes that may be anything, and their
// properties. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace quantfleet::text {

// A character at the front of a text; a byte that begins none has the value kNoCharacter and the
// length 1.
struct Character {
  uint32_t value;
  uint32_t length;
};
inline constexpr uint32_t kNoCharacter = 0xffffffff;

// `text` is not empty.
Character FirstCharacter(std::string_view text);
// The last character of a text that is not empty.
Character LastCharacter(std::string_view text);
void AppendCharacter(uint32_t value, std::string& out);
// Characters in a text; each byte that belongs to none counts as one.
size_t CountCharacters(std::string_view text);

// Of kNoCharacter, all of these are false.
bool IsWhiteSpace(uint32_t c);   // property White_Space
bool IsNumeric(uint32_t c);      // categories N*
bool IsPunctuation(uint32_t c);  // categories P*, and ASCII's $+<=>^`|~
bool IsWordCharacter(
    uint32_t c);          // property Alphabetic, marks, decimal digits, connectors and joiners
bool IsMark(uint32_t c);  // categories M*
bool IsNonspacingMark(uint32_t c);  // category Mn
bool IsOther(uint32_t c);           // categories Cc, Cf, Co

// Appends the lower case of a character, which may be two characters.
void AppendLowerCase(uint32_t c, std::string& out);

enum class UnicodeForm { kNfc, kNfd, kNfkc, kNfkd };
// Bytes that are not UTF-8 stay as they are.
void NormalizeUnicode(UnicodeForm form, std::string& text);

// How long the first extended grapheme cluster of a text is, which is not empty.
size_t FirstGraphemeLength(std::string_view text);

}  // namespace quantfleet::text
