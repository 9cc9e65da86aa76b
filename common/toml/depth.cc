#include "common/toml/depth.h"

#include <algorithm>

namespace quantfleet {
namespace {

bool EndsLine(char c) { return c >= '\n' && c <= '\r'; }

// Behind the string that begins at `at`; behind the text where it does not end. TOML 1.0: single
// quotes take no escapes, three quotes of a kind span lines, and two more may stand before the
// closing three.
size_t BehindString(std::string_view text, size_t at) {
  const char quote = text[at];
  const std::string three(3, quote);
  const bool spans = text.substr(at, 3) == three;
  for (at += spans ? 3 : 1; at < text.size(); ++at) {
    const char c = text[at];
    if (quote == '"' && c == '\\') {
      ++at;
    } else if (spans && text.substr(at, 3) == three) {
      at += 3;
      for (int more = 0; more < 2 && at < text.size() && text[at] == quote; ++more) ++at;
      return at;
    } else if (!spans && (c == quote || EndsLine(c))) {
      return at + 1;
    }
  }
  return text.size();
}

}  // namespace

absl::Status CheckTomlDepth(std::string_view text) {
  int dots = 0, open = 0;
  for (size_t at = 0; at < text.size();) {
    switch (const char c = text[at]) {
      case '"':
      case '\'':
        at = BehindString(text, at);
        continue;
      case '#':
        while (at < text.size() && !EndsLine(text[at])) ++at;
        continue;
      case '.':
        ++dots;
        break;
      case '[':
      case '{':
        ++open;
        dots = 0;
        break;
      case ']':
      case '}':
        open = std::max(0, open - 1);
        dots = 0;
        break;
      case '=':
      case ',':
        dots = 0;
        break;
      default:
        if (EndsLine(c)) dots = 0;
    }
    if (dots >= kMaxTomlDepth || open > kMaxTomlDepth)
      return InvalidArgument("line {}: keys, arrays and tables nest deeper than {}",
                             1 + std::ranges::count(text.substr(0, at), '\n'), kMaxTomlDepth);
    ++at;
  }
  return absl::OkStatus();
}

}  // namespace quantfleet
