#include "text/jinja/string_literal.h"

#include <charconv>
#include <optional>

#include "common/base/utf8.h"

namespace quantfleet::jinja {
namespace {

// The value of the digits that `text` begins with, at most `most` of them.
std::optional<char32_t> Digits(std::string_view text, size_t least, size_t most, int radix,
                               size_t& taken) {
  const std::string_view part = text.substr(0, most);
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), value, radix);
  taken = static_cast<size_t>(end - part.data());
  if (error != std::errc() || taken < least) return std::nullopt;
  return value;
}

char Simple(char c) {
  constexpr std::string_view kNames = "abfnrtv'\"\\", kMeant = "\a\b\f\n\r\t\v'\"\\";
  const size_t at = kNames.find(c);
  return at == std::string_view::npos ? '\0' : kMeant[at];
}

}  // namespace

std::string NormalizeLineEnds(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\r') {
      out += text[i];
      continue;
    }
    out += '\n';
    if (i + 1 < text.size() && text[i + 1] == '\n') ++i;
  }
  return out;
}

absl::StatusOr<std::string> Unescape(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const size_t escape = std::min(text.find('\\'), text.size());
    out += text.substr(0, escape);
    text.remove_prefix(escape);
    if (text.size() < 2) {
      out += text;
      break;
    }
    const char c = text[1];
    text.remove_prefix(2);
    if (c == '\n') continue;
    if (const char simple = Simple(c)) {
      out += simple;
      continue;
    }
    size_t taken = 0;
    std::optional<char32_t> character;
    if (c >= '0' && c <= '7') {
      std::string digits(1, c);
      digits += text.substr(0, 2);
      character = Digits(digits, 1, 3, 8, taken);
      --taken;
    } else if (c == 'x' || c == 'u' || c == 'U') {
      const size_t size = c == 'x' ? 2 : c == 'u' ? 4 : 8;
      character = Digits(text, size, size, 16, taken);
    } else if (c == 'N') {
      return InvalidArgument("the escape \\N{{...}} is not supported");
    } else {
      out += '\\';
      out += c;
      continue;
    }
    const size_t before = out.size();
    if (character) AppendCharacter(*character, out);
    if (out.size() == before) return InvalidArgument("the escape \\{} is not a character", c);
    text.remove_prefix(taken);
  }
  return out;
}

}  // namespace quantfleet::jinja
