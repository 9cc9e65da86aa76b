#include "common/base/utf8.h"

#include <cstdint>

namespace quantfleet {

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

}  // namespace quantfleet
