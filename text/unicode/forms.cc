#include "text/unicode/forms.h"

#include <utf8proc.h>

#include <cstdlib>
#include <memory>

#include "common/base/utf8.h"

namespace quantfleet::text {
namespace {

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
