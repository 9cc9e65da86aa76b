#include "text/tokenizer/byte_letters.h"

#include <array>
#include <cstdint>

#include "common/base/utf8.h"

namespace quantfleet::text {
namespace {

constexpr bool IsOwnLetter(unsigned byte) {
  return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

constexpr std::array<uint16_t, 256> kLetters = [] {
  std::array<uint16_t, 256> letters{};
  uint16_t next = 0x100;
  for (unsigned b = 0; b < 256; ++b)
    letters[b] = IsOwnLetter(b) ? static_cast<uint16_t>(b) : next++;
  return letters;
}();

// By code point; -1 where a letter stands for no byte.
constexpr std::array<int16_t, 0x144> kBytes = [] {
  std::array<int16_t, 0x144> bytes{};
  for (int16_t& byte : bytes) byte = -1;
  for (unsigned b = 0; b < 256; ++b) bytes[kLetters[b]] = static_cast<int16_t>(b);
  return bytes;
}();

}  // namespace

std::string SpellBytes(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const char c : bytes) AppendCharacter(kLetters[static_cast<uint8_t>(c)], out);
  return out;
}

bool UnspellBytes(std::string_view letters, std::string& bytes) {
  bytes.clear();
  while (!letters.empty()) {
    const Character c = FirstCharacter(letters);
    if (c.value >= kBytes.size() || kBytes[c.value] < 0) return false;
    bytes += static_cast<char>(kBytes[c.value]);
    letters.remove_prefix(c.length);
  }
  return true;
}

}  // namespace quantfleet::text
