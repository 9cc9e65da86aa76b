#include "common/base/outside_text.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstdint>

#include "common/base/utf8.h"

namespace quantfleet {
namespace {

uint32_t CodePoint(std::string_view sequence) {
  const auto first = static_cast<uint8_t>(sequence[0]);
  if (sequence.size() == 1) return first;
  uint32_t code = first & (0xffu >> (sequence.size() + 1));
  for (const char c : sequence.substr(1)) code = code << 6 | (static_cast<uint8_t>(c) & 0x3fu);
  return code;
}

// C0, DEL, C1; separators of lines and paragraphs; marks, embeddings and isolates of direction; the
// byte order mark. Each lets a text look like another, or steers a terminal.
bool Steers(uint32_t code) {
  return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x061c || code == 0x200e ||
         code == 0x200f || (code >= 0x2028 && code <= 0x202e) ||
         (code >= 0x2066 && code <= 0x2069) || code == 0xfeff;
}

std::string WrittenOut(uint32_t code) {
  if (code == '\n') return "\\n";
  if (code == '\r') return "\\r";
  if (code == '\t') return "\\t";
  return code < 0x80 ? fmt::format("\\x{:02x}", code) : fmt::format("\\u{:04x}", code);
}

// `steers`: which characters are written out, besides bytes that are not one.
template <typename Predicate>
std::string Convert(std::string_view bytes, size_t most, const Predicate& steers) {
  std::string out;
  out.reserve(std::min(bytes.size(), most));
  size_t at = 0;
  for (size_t length = 0; at < bytes.size(); at += length) {
    std::string written;
    if (ClassifyUtf8(bytes.substr(at), length) != Utf8::kWhole) {
      length = 1;
      written = fmt::format("\\x{:02x}", static_cast<uint8_t>(bytes[at]));
    } else if (const uint32_t code = CodePoint(bytes.substr(at, length)); steers(code)) {
      written = WrittenOut(code);
    } else {
      written = bytes.substr(at, length);
    }
    if (out.size() + written.size() > most) break;
    out += written;
  }
  if (at < bytes.size()) out += fmt::format("... ({} bytes)", bytes.size());
  return out;
}

}  // namespace

std::string Shown(std::string_view bytes, size_t most) { return Convert(bytes, most, &Steers); }

std::string ShownLines(std::string_view bytes) {
  return Convert(bytes, std::string::npos,
                 [](uint32_t code) { return code != '\n' && code != '\t' && Steers(code); });
}

std::string ValidText(std::string_view bytes) {
  if (IsUtf8(bytes)) return std::string(bytes);
  return Convert(bytes, std::string::npos, [](uint32_t) { return false; });
}

std::string_view CutText(std::string_view text, size_t most) {
  size_t length = std::min(text.size(), most);
  // A sequence has at most three bytes after its first.
  for (int back = 0; back < 3 && length > 0 && length < text.size(); ++back, --length)
    if ((text[length] & 0xc0) != 0x80) break;
  return text.substr(0, length);
}

}  // namespace quantfleet
