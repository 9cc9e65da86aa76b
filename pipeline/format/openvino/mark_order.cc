#include "pipeline/format/openvino/mark_order.h"

#include <fmt/format.h>

#include <map>
#include <set>
#include <vector>

#include "common/base/utf8.h"
#include "text/unicode/forms.h"
#include "text/unicode/properties.h"

namespace quantfleet::pipeline {
namespace {

constexpr uint32_t kMostMark = 0x1FFFF;  // no mark with a class lies behind it

// "\x{300}-\x{314}", as it stands between brackets.
std::string Ranges(const std::set<uint32_t>& characters) {
  std::string out;
  for (auto it = characters.begin(); it != characters.end();) {
    const uint32_t first = *it;
    uint32_t last = first;
    while (++it != characters.end() && *it == last + 1) ++last;
    out += fmt::format("\\x{{{:x}}}", first);
    if (last > first) out += fmt::format("-\\x{{{:x}}}", last);
  }
  return out;
}

std::map<int, std::set<uint32_t>> MarksByClass() {
  std::map<int, std::set<uint32_t>> marks;
  for (uint32_t c = 0x300; c <= kMostMark; ++c)
    if (const int own = text::CombiningClass(c); own != 0) marks[own].insert(c);
  return marks;
}

// Each class as a group that may be called by its number: (?&m230).
std::string Definitions(const std::map<int, std::set<uint32_t>>& marks) {
  std::string out = "(?(DEFINE)";
  for (const auto& [own, characters] : marks)
    out += fmt::format("(?<m{}>[{}])", own, Ranges(characters));
  return out + ")";
}

// Any of the classes.
template <typename Iterator>
std::string AnyOf(Iterator begin, Iterator end) {
  std::string out;
  for (auto it = begin; it != end; ++it)
    out += fmt::format("{}(?&m{})", out.empty() ? "" : "|", it->first);
  return out;
}

std::vector<uint32_t> Characters(const std::string& text) {
  std::vector<uint32_t> out;
  for (size_t at = 0; at < text.size();) {
    const Character c = FirstCharacter(std::string_view(text).substr(at));
    out.push_back(c.value);
    at += c.length;
  }
  return out;
}

std::string Text(const std::vector<uint32_t>& characters) {
  std::string out;
  for (const uint32_t c : characters) AppendCharacter(c, out);
  return out;
}

// By mark, the characters with which it composes.
std::map<uint32_t, std::set<uint32_t>> ComposingMarks() {
  std::map<uint32_t, std::set<uint32_t>> out;
  for (uint32_t c = 0xC0; c <= kMostMark; ++c) {
    if (c >= 0xAC00 && c < 0xE000) continue;  // Hangul, which has no marks, and surrogates
    std::string taken = Text({c});
    text::NormalizeUnicode(text::UnicodeForm::kNfd, taken);
    std::vector<uint32_t> parts = Characters(taken);
    if (parts.size() < 2 || text::CombiningClass(parts.back()) == 0) continue;
    const uint32_t mark = parts.back();
    parts.pop_back();
    std::string rest = Text(parts);
    text::NormalizeUnicode(text::UnicodeForm::kNfc, rest);
    std::string both = rest + Text({mark});
    text::NormalizeUnicode(text::UnicodeForm::kNfc, both);
    const std::vector<uint32_t> base = Characters(rest);
    if (base.size() == 1 && both == Text({c})) out[mark].insert(base.front());
  }
  return out;
}

}  // namespace

std::string MarkOrderExpression() {
  const auto marks = MarksByClass();
  std::string pairs;
  for (auto it = marks.begin(); std::next(it) != marks.end(); ++it)
    pairs += fmt::format("{}((?:{})++)((?&m{}))", pairs.empty() ? "" : "|",
                         AnyOf(std::next(it), marks.end()), it->first);
  return R"((?=\p{M})(?|)" + pairs + ")" + Definitions(marks);
}

std::string DistantMarkExpression() {
  const auto marks = MarksByClass();
  std::string all;
  for (const auto& [mark, characters] : ComposingMarks()) {
    const std::string before = AnyOf(marks.begin(), marks.find(text::CombiningClass(mark)));
    if (before.empty()) continue;
    all += fmt::format("{}([{}])((?:{})++)(\\x{{{:x}}})", all.empty() ? "" : "|",
                       Ranges(characters), before, mark);
  }
  return R"((?=.\p{M}{2})(?|)" + all + ")" + Definitions(marks);
}

}  // namespace quantfleet::pipeline
