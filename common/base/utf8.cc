#include "common/base/utf8.h"

#include <algorithm>

namespace quantfleet {
namespace {

bool Continues(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

}  // namespace

// Unicode 15, table 3-7: no surrogates, no overlong.
Utf8 ClassifyUtf8(std::string_view s, size_t& length) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(s[i]); };
  length = 1;
  const uint8_t first = byte(0);
  if (first < 0x80) return Utf8::kWhole;
  if (first < 0xc2 || first > 0xf4) return Utf8::kBad;
  length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  uint8_t low = 0x80, high = 0xbf;  // of the second byte
  if (first == 0xe0) low = 0xa0;
  if (first == 0xed) high = 0x9f;
  if (first == 0xf0) low = 0x90;
  if (first == 0xf4) high = 0x8f;
  for (size_t i = 1; i < length; ++i) {
    if (i >= s.size()) return Utf8::kUnfinished;
    if (byte(i) < low || byte(i) > high) {
      length = 1;
      return Utf8::kBad;
    }
    low = 0x80, high = 0xbf;
  }
  return Utf8::kWhole;
}

size_t WholeUtf8Length(std::string_view s) {
  size_t at = 0;
  for (size_t length; at < s.size(); at += length) {
    if (ClassifyUtf8(s.substr(at), length) != Utf8::kWhole) break;
  }
  return at;
}

Character FirstLongCharacter(std::string_view text) {
  size_t length;
  if (ClassifyUtf8(text, length) != Utf8::kWhole) return {kNoCharacter, 1};
  const auto byte = [text](size_t at) { return static_cast<unsigned char>(text[at]); };
  if (length == 1) return {byte(0), 1};
  uint32_t value = byte(0) & (0xffu >> (length + 1));
  for (size_t i = 1; i < length; ++i) value = value << 6 | (byte(i) & 0x3fu);
  return {value, static_cast<uint32_t>(length)};
}

Character LastCharacter(std::string_view text) {
  for (size_t length = 1; length <= 4 && length <= text.size(); ++length) {
    const std::string_view end = text.substr(text.size() - length);
    const Character c = FirstCharacter(end);
    if (c.value != kNoCharacter && c.length == length) return c;
    if (!Continues(end[0])) break;
  }
  return {kNoCharacter, 1};
}

void AppendCharacter(uint32_t value, std::string& out) {
  const auto add = [&out](uint32_t bits) { out += static_cast<char>(bits); };
  const auto follow = [&](int shift) { add(0x80 | ((value >> shift) & 0x3f)); };
  if (value < 0x80) {
    add(value);
  } else if (value < 0x800) {
    add(0xc0 | value >> 6);
    follow(0);
  } else if (value < 0x10000) {
    if (value >= 0xd800 && value < 0xe000) return;
    add(0xe0 | value >> 12);
    follow(6);
    follow(0);
  } else if (value < 0x110000) {
    add(0xf0 | value >> 18);
    follow(12);
    follow(6);
    follow(0);
  }
}

size_t CountCharacters(std::string_view text) {
  return static_cast<size_t>(std::ranges::count_if(text, [](char c) { return !Continues(c); }));
}

size_t ByteOfCharacter(std::string_view text, size_t index) {
  size_t at = 0;
  while (at < text.size() && (Continues(text[at]) || index-- != 0)) ++at;
  return at;
}

}  // namespace quantfleet
