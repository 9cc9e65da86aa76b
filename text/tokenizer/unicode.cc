#include "text/tokenizer/unicode.h"

#include <utf8proc.h>

#include <cstdlib>
#include <memory>

#include "common/base/utf8.h"

namespace quantfleet::text {
namespace {

utf8proc_category_t CategoryOf(uint32_t c) {
  return c == kNoCharacter ? UTF8PROC_CATEGORY_CN : utf8proc_category(static_cast<int32_t>(c));
}

uint32_t Decode(std::string_view sequence) {
  utf8proc_int32_t value = 0;
  utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(sequence.data()),
                   static_cast<utf8proc_ssize_t>(sequence.size()), &value);
  return static_cast<uint32_t>(value);
}

// Below U+0300 nothing composes, and below U+00A0 nothing decomposes.
bool HasForm(UnicodeForm form, std::string_view text) {
  const uint8_t limit = form == UnicodeForm::kNfc ? 0xcc : 0xc2;
  for (const char c : text)
    if (static_cast<uint8_t>(c) >= limit) return false;
  return true;
}

// What younger versions of Unicode than that of `tokenizers` made of characters that were
// unassigned then: it leaves them as they are, and so do the ids that a model was trained with.
bool IsYoung(uint32_t c) {
  return c == 0x32ff || (c >= 0xa7f2 && c <= 0xa7f4) || c == 0xab69 ||
         (c >= 0x10780 && c <= 0x107ba) || c == 0x11938 || c == 0x1f16c ||
         (c >= 0x1e030 && c <= 0x1e06d) || (c >= 0x1fbf0 && c <= 0x1fbf9);
}

struct Free {
  void operator()(utf8proc_uint8_t* bytes) const { std::free(bytes); }
};

void AppendNormalized(UnicodeForm form, std::string_view valid, std::string& out) {
  int options = UTF8PROC_STABLE;
  const bool composes = form == UnicodeForm::kNfc || form == UnicodeForm::kNfkc;
  options |= composes ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE;
  if (form == UnicodeForm::kNfkc || form == UnicodeForm::kNfkd) options |= UTF8PROC_COMPAT;
  utf8proc_uint8_t* bytes = nullptr;
  const utf8proc_ssize_t length = utf8proc_map(
      reinterpret_cast<const utf8proc_uint8_t*>(valid.data()),
      static_cast<utf8proc_ssize_t>(valid.size()), &bytes, static_cast<utf8proc_option_t>(options));
  const std::unique_ptr<utf8proc_uint8_t, Free> owned(bytes);
  if (length < 0)
    out += valid;  // out of memory, or longer than any text that is encoded
  else
    out.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(length));
}

}  // namespace

Character FirstCharacter(std::string_view text) {
  const auto first = static_cast<uint8_t>(text[0]);
  if (first < 0x80) return {first, 1};
  size_t length;
  if (ClassifyUtf8(text, length) != Utf8::kWhole) return {kNoCharacter, 1};
  return {Decode(text.substr(0, length)), static_cast<uint32_t>(length)};
}

Character LastCharacter(std::string_view text) {
  for (size_t length = 1; length <= 4 && length <= text.size(); ++length) {
    const std::string_view end = text.substr(text.size() - length);
    const Character c = FirstCharacter(end);
    if (c.value != kNoCharacter && c.length == length) return c;
    if ((static_cast<uint8_t>(end[0]) & 0xc0) != 0x80) break;
  }
  return {kNoCharacter, 1};
}

void AppendCharacter(uint32_t value, std::string& out) {
  utf8proc_uint8_t bytes[4];
  const auto length = utf8proc_encode_char(static_cast<int32_t>(value), bytes);
  out.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(length));
}

size_t CountCharacters(std::string_view text) {
  size_t count = 0;
  for (; !text.empty(); text.remove_prefix(FirstCharacter(text).length)) ++count;
  return count;
}

bool IsWhiteSpace(uint32_t c) {
  if (c < 0x80) return c == ' ' || (c >= '\t' && c <= '\r');
  return c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 ||
         c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

bool IsNumeric(uint32_t c) {
  if (c < 0x80) return c >= '0' && c <= '9';
  const auto category = CategoryOf(c);
  return category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO;
}

bool IsPunctuation(uint32_t c) {
  if (c < 0x80)
    return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') ||
           (c >= '{' && c <= '~');
  const auto category = CategoryOf(c);
  return category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO;
}

bool IsWordCharacter(uint32_t c) {
  const auto category = CategoryOf(c);
  return (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_NL) ||
         category == UTF8PROC_CATEGORY_PC || c == 0x200c || c == 0x200d ||
         (c >= 0x24b6 && c <= 0x24e9) || (c >= 0x1f130 && c <= 0x1f149) ||
         (c >= 0x1f150 && c <= 0x1f169) || (c >= 0x1f170 && c <= 0x1f189);
}

bool IsMark(uint32_t c) {
  const auto category = CategoryOf(c);
  return category >= UTF8PROC_CATEGORY_MN && category <= UTF8PROC_CATEGORY_ME;
}

bool IsNonspacingMark(uint32_t c) { return CategoryOf(c) == UTF8PROC_CATEGORY_MN; }

bool IsOther(uint32_t c) {
  const auto category = CategoryOf(c);
  return category == UTF8PROC_CATEGORY_CC || category == UTF8PROC_CATEGORY_CF ||
         category == UTF8PROC_CATEGORY_CO;
}

void AppendLowerCase(uint32_t c, std::string& out) {
  // The one character whose lower case is two: "i" and a dot above.
  if (c == 0x130) {
    out += "i\xcc\x87";
  } else {
    AppendCharacter(static_cast<uint32_t>(utf8proc_tolower(static_cast<int32_t>(c))), out);
  }
}

void NormalizeUnicode(UnicodeForm form, std::string& text) {
  if (HasForm(form, text)) return;
  std::string out;
  out.reserve(text.size());
  for (std::string_view rest = text; !rest.empty();) {
    const size_t valid = WholeUtf8Length(rest);
    size_t known = 0;
    while (known < valid) {
      const Character c = FirstCharacter(rest.substr(known));
      if (IsYoung(c.value)) break;
      known += c.length;
    }
    if (known > 0) AppendNormalized(form, rest.substr(0, known), out);
    rest.remove_prefix(known);
    if (rest.empty()) break;
    const size_t kept = FirstCharacter(rest).length;
    out += rest.substr(0, kept);
    rest.remove_prefix(kept);
  }
  text = std::move(out);
}

size_t FirstGraphemeLength(std::string_view text) {
  const Character first = FirstCharacter(text);
  size_t length = first.length;
  if (first.value == kNoCharacter) return length;
  utf8proc_int32_t state = 0;
  auto before = static_cast<int32_t>(first.value);
  while (length < text.size()) {
    const Character next = FirstCharacter(text.substr(length));
    if (next.value == kNoCharacter) break;
    if (utf8proc_grapheme_break_stateful(before, static_cast<int32_t>(next.value), &state)) break;
    before = static_cast<int32_t>(next.value);
    length += next.length;
  }
  return length;
}

}  // namespace quantfleet::text
