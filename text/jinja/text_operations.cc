#include "text/jinja/text_operations.h"

#include "common/base/utf8.h"
#include "text/jinja/python_characters.h"
#include "text/unicode/cases.h"
#include "text/unicode/properties.h"

namespace quantfleet::jinja {
namespace {

// Each character through `change`, which appends what it becomes.
template <typename Change>
MarkedText Each(const MarkedText& text, Change change) {
  MarkedText out;
  std::string changed;
  for (size_t at = 0; at < text.bytes.size();) {
    const Character c = FirstCharacter(std::string_view(text.bytes).substr(at));
    changed.clear();
    if (c.value == kNoCharacter)
      changed = text.bytes[at];
    else
      change(c.value, at, changed);
    out.Append(changed, text.IsData(at));
    at += c.length;
  }
  return out;
}

// As str.lower: of the character at a place in a text.
void AppendLowered(std::string_view text, uint32_t c, size_t at, std::string& out) {
  constexpr uint32_t kCapitalSigma = 0x3a3;
  if (c == kCapitalSigma && text::IsFinalSigma(text, at))
    out += "\u03c2";
  else
    text::AppendLower(c, out);
}

}  // namespace

MarkedText Lowered(const MarkedText& text) {
  return Each(text, [&](uint32_t c, size_t at, std::string& out) {
    AppendLowered(text.bytes, c, at, out);
  });
}

MarkedText Uppered(const MarkedText& text) {
  return Each(text, [](uint32_t c, size_t, std::string& out) { text::AppendUpper(c, out); });
}

MarkedText Folded(const MarkedText& text) {
  return Each(text, [](uint32_t c, size_t, std::string& out) { text::AppendFolded(c, out); });
}

MarkedText Capitalized(const MarkedText& text) {
  return Each(text, [&](uint32_t c, size_t at, std::string& out) {
    at == 0 ? text::AppendTitle(c, out) : AppendLowered(text.bytes, c, at, out);
  });
}

MarkedText Titled(const MarkedText& text) {
  bool inside = false;
  return Each(text, [&](uint32_t c, size_t at, std::string& out) {
    inside ? AppendLowered(text.bytes, c, at, out) : text::AppendTitle(c, out);
    inside = text::IsCased(c);
  });
}

MarkedText CasesSwapped(const MarkedText& text) {
  return Each(text, [&](uint32_t c, size_t at, std::string& out) {
    if (text::IsUppercase(c))
      AppendLowered(text.bytes, c, at, out);
    else if (text::IsLowercase(c))
      text::AppendUpper(c, out);
    else
      AppendCharacter(c, out);
  });
}

absl::StatusOr<MarkedText> Replaced(Budget& budget, const MarkedText& text, const MarkedText& old,
                                    const MarkedText& by, int64_t count) {
  QF_RETURN_IF_ERROR(budget.Take(text.bytes.size() / 64));
  MarkedText out;
  size_t at = 0;
  while (count != 0) {
    size_t found = 0, next = 0;
    if (old.bytes.empty()) {
      // Before each character, and at the end.
      if (at > text.bytes.size()) break;
      found = at;
      next = at < text.bytes.size() ? at + CharacterBytes(std::string_view(text.bytes).substr(at))
                                    : at + 1;
    } else {
      found = text.bytes.find(old.bytes, at);
      if (found == std::string::npos) break;
      out.Append(text, at, found);
      next = found + old.bytes.size();
    }
    out.Append(by);
    if (old.bytes.empty() && found < text.bytes.size()) out.Append(text, found, next);
    if (out.bytes.size() > kMaxTextBytes) return budget.TakeBytes(out.bytes.size());
    at = next;
    if (count > 0) --count;
  }
  if (at < text.bytes.size()) out.Append(text, at, text.bytes.size());
  return out;
}

std::vector<MarkedText> Lines(const MarkedText& text, bool keep_ends) {
  std::vector<MarkedText> lines;
  size_t begin = 0;
  for (size_t at = 0; at < text.bytes.size();) {
    const std::string_view rest = std::string_view(text.bytes).substr(at);
    const size_t end = LineEndBytes(rest);
    if (end == 0) {
      at += CharacterBytes(rest);
      continue;
    }
    lines.push_back(text.Slice(begin, keep_ends ? at + end : at));
    at += end;
    begin = at;
  }
  if (begin < text.bytes.size()) lines.push_back(text.Slice(begin, text.bytes.size()));
  return lines;
}

}  // namespace quantfleet::jinja
