// Where UTF-8 sequences begin and end in bytes that may be anything, and the characters that they
// are. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace quantfleet {

enum class Utf8 { kWhole, kUnfinished, kBad };

// What `s`, which is not empty, begins with. `length` becomes that of a whole sequence, or 1 for a
// bad byte.
Utf8 ClassifyUtf8(std::string_view s, size_t& length);

// How many bytes at the front of `s` are whole sequences.
size_t WholeUtf8Length(std::string_view s);

// Whether bytes are well-formed UTF-8 (RFC 3629): what protobuf strings and JSON demand of text
// from outside.
inline bool IsUtf8(std::string_view s) { return WholeUtf8Length(s) == s.size(); }

// A character at the front of a text; a byte that begins none has the value kNoCharacter and the
// length 1.
struct Character {
  uint32_t value;
  uint32_t length;  // bytes
};
inline constexpr uint32_t kNoCharacter = 0xffffffff;

// Of a text that begins with more than ASCII.
Character FirstLongCharacter(std::string_view text);
// `text` is not empty.
inline Character FirstCharacter(std::string_view text) {
  const auto first = static_cast<unsigned char>(text[0]);
  return first < 0x80 ? Character{first, 1} : FirstLongCharacter(text);
}
// How many bytes that character has.
inline size_t CharacterBytes(std::string_view text) { return FirstCharacter(text).length; }
// The last character of a text that is not empty.
Character LastCharacter(std::string_view text);
// Appends nothing for a surrogate, and for what lies beyond Unicode.
void AppendCharacter(uint32_t value, std::string& out);
// Characters in a text; bytes that continue none do not count.
size_t CountCharacters(std::string_view text);
// Where the `index`th character begins, as CountCharacters counts; the text's size where there are
// no more.
size_t ByteOfCharacter(std::string_view text, size_t index);

}  // namespace quantfleet
