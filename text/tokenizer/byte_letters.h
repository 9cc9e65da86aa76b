// Byte-level vocabularies write each byte as a letter: printable Latin-1 stands for itself, the
// rest follows from U+0100 on. Pure.
#pragma once

#include <string>
#include <string_view>

namespace quantfleet::text {

// The letters of bytes.
std::string SpellBytes(std::string_view bytes);
// The bytes that letters spell; false where a character is no such letter.
bool UnspellBytes(std::string_view letters, std::string& bytes);

}  // namespace quantfleet::text
