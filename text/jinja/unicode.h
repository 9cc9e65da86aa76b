// Characters of UTF-8 text as Python's str counts and classifies them. The text must be UTF-8; what
// is not is taken byte by byte. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace quantfleet::jinja {

// Bytes of the character at the front of `text`, which is not empty.
size_t CharacterBytes(std::string_view text);
size_t CountCharacters(std::string_view text);
// Where the `index`th character begins; the text's size where there are no more.
size_t ByteOfCharacter(std::string_view text, size_t index);

char32_t FirstCharacter(std::string_view text);
// Nothing for what is no character.
void AppendCharacter(char32_t character, std::string& out);

// As str.isspace says of one character.
bool IsSpace(char32_t character);
// Bytes of the white space character at the text's beginning (or end); 0: none.
size_t SpaceBytes(std::string_view text, bool at_end);
// Bytes of the line's end that str.splitlines sees at the text's beginning; 0: none.
size_t LineEndBytes(std::string_view text);

enum class CharacterClass { kAlpha, kDigit, kAlnum, kUpper, kLower };
bool IsOf(CharacterClass what, char32_t character);
// Of one character; a few become several.
void AppendUpper(char32_t character, std::string& out);
void AppendLower(char32_t character, std::string& out);

}  // namespace quantfleet::jinja
