#include "text/jinja/unicode.h"

#include <locale.h>
#include <wctype.h>

#include <algorithm>

#include "common/base/utf8.h"

namespace quantfleet::jinja {
namespace {

constexpr char32_t kSpaces[] = {0x9,    0xa,    0xb,    0xc,    0xd,    0x1c,   0x1d,   0x1e,
                                0x1f,   0x20,   0x85,   0xa0,   0x1680, 0x2000, 0x2001, 0x2002,
                                0x2003, 0x2004, 0x2005, 0x2006, 0x2007, 0x2008, 0x2009, 0x200a,
                                0x2028, 0x2029, 0x202f, 0x205f, 0x3000};

// The C library's tables, whatever locale the program runs in; null where it lacks them, and then
// only ASCII has cases.
locale_t Tables() {
  static const locale_t tables = newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
  return tables;
}

bool Classified(int (*of)(wint_t, locale_t), char32_t c, std::string_view ascii) {
  if (c < 0x80) return ascii.find(static_cast<char>(c)) != std::string_view::npos;
  return Tables() != nullptr && of(static_cast<wint_t>(c), Tables()) != 0;
}

constexpr std::string_view kUppers = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
constexpr std::string_view kLowers = "abcdefghijklmnopqrstuvwxyz";
constexpr std::string_view kDigits = "0123456789";

}  // namespace

size_t CharacterBytes(std::string_view text) {
  size_t length = 1;
  return ClassifyUtf8(text, length) == Utf8::kWhole ? length : 1;
}

size_t CountCharacters(std::string_view text) {
  return static_cast<size_t>(std::ranges::count_if(
      text, [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

size_t ByteOfCharacter(std::string_view text, size_t index) {
  size_t at = 0;
  while (at < text.size()) {
    if ((static_cast<unsigned char>(text[at]) & 0xc0) != 0x80 && index-- == 0) break;
    ++at;
  }
  return at;
}

char32_t FirstCharacter(std::string_view text) {
  const auto byte = [text](size_t at) { return static_cast<unsigned char>(text[at]); };
  const size_t bytes = CharacterBytes(text);
  if (bytes == 1) return byte(0);
  char32_t character = byte(0) & (0xffu >> (bytes + 1));
  for (size_t i = 1; i < bytes; ++i) character = character << 6 | (byte(i) & 0x3fu);
  return character;
}

void AppendCharacter(char32_t c, std::string& out) {
  const auto add = [&out](char32_t bits) { out += static_cast<char>(bits); };
  const auto follow = [&](int shift) { add(0x80 | ((c >> shift) & 0x3f)); };
  if (c < 0x80) {
    add(c);
  } else if (c < 0x800) {
    add(0xc0 | c >> 6);
    follow(0);
  } else if (c < 0x10000) {
    if (c >= 0xd800 && c < 0xe000) return;
    add(0xe0 | c >> 12);
    follow(6);
    follow(0);
  } else if (c < 0x110000) {
    add(0xf0 | c >> 18);
    follow(12);
    follow(6);
    follow(0);
  }
}

bool IsSpace(char32_t character) { return std::ranges::binary_search(kSpaces, character); }

size_t SpaceBytes(std::string_view text, bool at_end) {
  if (text.empty()) return 0;
  if (at_end) {
    size_t at = text.size() - 1;
    while (at > 0 && text.size() - at < 4 && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80)
      --at;
    text.remove_prefix(at);
  }
  const size_t bytes = CharacterBytes(text);
  return IsSpace(FirstCharacter(text)) && (!at_end || bytes == text.size()) ? bytes : 0;
}

size_t LineEndBytes(std::string_view text) {
  if (text.empty()) return 0;
  if (text.starts_with("\r\n")) return 2;
  const char32_t c = FirstCharacter(text);
  const bool ends =
      (c >= 0xa && c <= 0xd) || (c >= 0x1c && c <= 0x1e) || c == 0x85 || c == 0x2028 || c == 0x2029;
  return ends ? CharacterBytes(text) : 0;
}

bool IsOf(CharacterClass what, char32_t c) {
  switch (what) {
    case CharacterClass::kUpper:
      return Classified(iswupper_l, c, kUppers);
    case CharacterClass::kLower:
      return Classified(iswlower_l, c, kLowers);
    case CharacterClass::kDigit:
      // The C library knows no digits but ASCII's.
      return c < 0x80 && kDigits.find(static_cast<char>(c)) != std::string_view::npos;
    case CharacterClass::kAlpha:
      return IsOf(CharacterClass::kUpper, c) || IsOf(CharacterClass::kLower, c) ||
             Classified(iswalpha_l, c, "");
    case CharacterClass::kAlnum:
      break;
  }
  return IsOf(CharacterClass::kAlpha, c) || IsOf(CharacterClass::kDigit, c);
}

void AppendUpper(char32_t c, std::string& out) {
  if (c < 0x80) {
    out += static_cast<char>(c >= 'a' && c <= 'z' ? c - 32 : c);
  } else if (c == 0xdf) {
    out += "SS";
  } else {
    AppendCharacter(Tables() == nullptr ? c : static_cast<char32_t>(towupper_l(c, Tables())), out);
  }
}

void AppendLower(char32_t c, std::string& out) {
  if (c < 0x80)
    out += static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  else
    AppendCharacter(Tables() == nullptr ? c : static_cast<char32_t>(towlower_l(c, Tables())), out);
}

}  // namespace quantfleet::jinja
