#include "text/jinja/python_characters.h"

#include "common/base/utf8.h"
#include "text/unicode/properties.h"

namespace quantfleet::jinja {
namespace {

bool HasOnly(bool (*is)(uint32_t), std::string_view text) {
  bool any = false;
  for (Character c; !text.empty(); text.remove_prefix(c.length)) {
    c = FirstCharacter(text);
    if (is(c.value))
      any = true;
    else if (text::IsCased(c.value))
      return false;
  }
  return any;
}

}  // namespace

bool IsSpace(uint32_t character) {
  // Separators of files, groups, records and units as well.
  return text::IsWhiteSpace(character) || (character >= 0x1c && character <= 0x1f);
}

size_t SpaceBytes(std::string_view text, bool at_end) {
  if (text.empty()) return 0;
  const Character c = at_end ? LastCharacter(text) : FirstCharacter(text);
  return IsSpace(c.value) ? c.length : 0;
}

size_t LineEndBytes(std::string_view text) {
  if (text.empty()) return 0;
  if (text.starts_with("\r\n")) return 2;
  const auto [c, length] = FirstCharacter(text);
  const bool ends =
      (c >= 0xa && c <= 0xd) || (c >= 0x1c && c <= 0x1e) || c == 0x85 || c == 0x2028 || c == 0x2029;
  return ends ? length : 0;
}

bool IsAlphanumeric(uint32_t character) {
  return text::IsLetter(character) || text::HasNumericValue(character);
}

bool IsUpperText(std::string_view text) { return HasOnly(text::IsUppercase, text); }

bool IsLowerText(std::string_view text) { return HasOnly(text::IsLowercase, text); }

}  // namespace quantfleet::jinja
