#include "text/jinja/text_operations.h"

#include "text/jinja/unicode.h"

namespace quantfleet::jinja {
namespace {

// Each character through `change`, which appends what it becomes.
template <typename Change>
MarkedText Each(const MarkedText& text, Change change) {
  MarkedText out;
  std::string changed;
  for (size_t at = 0, size = 0; at < text.bytes.size(); at += size) {
    const std::string_view rest = std::string_view(text.bytes).substr(at);
    size = CharacterBytes(rest);
    changed.clear();
    change(FirstCharacter(rest), changed);
    out.Append(changed, text.IsData(at));
  }
  return out;
}

}  // namespace

MarkedText Lowered(const MarkedText& text) { return Each(text, AppendLower); }

MarkedText Uppered(const MarkedText& text) { return Each(text, AppendUpper); }

MarkedText Capitalized(const MarkedText& text) {
  bool first = true;
  return Each(text, [&first](char32_t c, std::string& out) {
    first ? AppendUpper(c, out) : AppendLower(c, out);
    first = false;
  });
}

MarkedText Titled(const MarkedText& text) {
  bool first = true;
  return Each(text, [&first](char32_t c, std::string& out) {
    first ? AppendUpper(c, out) : AppendLower(c, out);
    first = !IsOf(CharacterClass::kAlpha, c);
  });
}

MarkedText CasesSwapped(const MarkedText& text) {
  return Each(text, [](char32_t c, std::string& out) {
    IsOf(CharacterClass::kUpper, c) ? AppendLower(c, out) : AppendUpper(c, out);
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
