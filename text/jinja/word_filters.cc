// Filters that lay texts out: indent, truncate, center and the like.
#include <fmt/format.h>

#include <algorithm>

#include "common/base/utf8.h"
#include "text/jinja/arguments.h"
#include "text/jinja/operators.h"
#include "text/jinja/python_characters.h"
#include "text/jinja/python_text.h"
#include "text/jinja/tables.h"
#include "text/jinja/text_operations.h"

namespace quantfleet::jinja {
namespace {

using Result = absl::StatusOr<Value>;

MarkedText Spaces(int64_t count) {
  return MarkedText{
      std::string(static_cast<size_t>(std::clamp<int64_t>(count, 0, kMaxWidth)), ' ')};
}

Result IndentFilter(Machine& machine, const Value& of, Arguments arguments) {
  QF_ASSIGN_OR_RETURN(const auto given,
                      Bind("indent", std::move(arguments), {"width", "first", "blank"}, 0));
  if (!of.IsText()) return WrongType("indent", "a text", of);
  MarkedText indention;
  if (given[0] && given[0]->IsText()) {
    indention = given[0]->text().marked;
  } else {
    QF_ASSIGN_OR_RETURN(const int64_t width, WholeOr("indent", given[0], 4));
    indention = Spaces(width);
  }
  const bool blank = TruthOr(given[2], false);
  MarkedText whole = of.text().marked;
  whole.Append("\n", false);
  const std::vector<MarkedText> lines = Lines(whole, false);
  MarkedText out;
  if (TruthOr(given[1], false)) out.Append(indention);
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) {
      out.Append("\n", false);
      if (blank || !lines[i].bytes.empty()) out.Append(indention);
    }
    out.Append(lines[i]);
    if (out.bytes.size() > kMaxTextBytes) return machine.budget().TakeBytes(out.bytes.size());
  }
  return machine.Made(std::move(out), of.text().markup);
}

Result TruncateFilter(Machine& machine, const Value& of, Arguments arguments) {
  QF_ASSIGN_OR_RETURN(const auto given, Bind("truncate", std::move(arguments),
                                             {"length", "killwords", "end", "leeway"}, 0));
  if (!of.IsText()) return WrongType("truncate", "a text", of);
  QF_ASSIGN_OR_RETURN(const int64_t length, WholeOr("truncate", given[0], 255));
  int64_t leeway = 5;
  if (!IsNothing(given[3])) {
    QF_ASSIGN_OR_RETURN(leeway, WholeOr("truncate", given[3], 5));
  }
  const MarkedText end = given[2] ? ToText(*given[2]) : MarkedText{"..."};
  const auto end_size = static_cast<int64_t>(CountCharacters(end.bytes));
  if (length < end_size || leeway < 0) return FailedPrecondition("truncate cannot cut so short");
  const MarkedText& text = of.text().marked;
  if (static_cast<int64_t>(CountCharacters(text.bytes)) <= length + leeway) return of;
  MarkedText cut =
      text.Slice(0, ByteOfCharacter(text.bytes, static_cast<size_t>(length - end_size)));
  if (!TruthOr(given[1], false))
    if (const size_t space = cut.bytes.rfind(' '); space != std::string::npos)
      cut = cut.Slice(0, space);
  cut.Append(end);
  return machine.Made(std::move(cut));
}

Result CenterFilter(Machine& machine, const Value& of, Arguments arguments) {
  QF_ASSIGN_OR_RETURN(const auto given, Bind("center", std::move(arguments), {"width"}, 0));
  QF_ASSIGN_OR_RETURN(const int64_t width, WholeOr("center", given[0], 80));
  const MarkedText text = ToText(of);
  const int64_t missing = width - static_cast<int64_t>(CountCharacters(text.bytes));
  if (missing <= 0) return machine.Made(text);
  // Python puts the odd one to the left where the width is odd too.
  const int64_t left = missing / 2 + (missing & width & 1);
  MarkedText out = Spaces(left);
  out.Append(text);
  out.Append(Spaces(missing - left));
  return machine.Made(std::move(out));
}

bool SeparatesWords(uint32_t c) {
  return IsSpace(c) || c == '-' || c == '(' || c == '{' || c == '[' || c == '<';
}

Result TitleFilter(Machine& machine, const Value& of, Arguments arguments) {
  QF_RETURN_IF_ERROR(Bind("title", std::move(arguments), {}, 0).status());
  // Where re.split(r"([-\s({\[<]+)") cuts it; each part, separators too, is capitalized for itself.
  const MarkedText text = ToText(of);
  const std::string_view bytes = text.bytes;
  MarkedText out;
  for (size_t begin = 0, end = 0; begin < bytes.size(); begin = end) {
    const bool separates = SeparatesWords(FirstCharacter(bytes.substr(begin)).value);
    for (Character c; end < bytes.size(); end += c.length) {
      c = FirstCharacter(bytes.substr(end));
      if (SeparatesWords(c.value) != separates) break;
    }
    const size_t rest = begin + CharacterBytes(bytes.substr(begin));
    out.Append(Uppered(text.Slice(begin, rest)));
    out.Append(Lowered(text.Slice(rest, end)));
  }
  return machine.Made(std::move(out));
}

Result WordCountFilter(Machine&, const Value& of, Arguments arguments) {
  QF_RETURN_IF_ERROR(Bind("wordcount", std::move(arguments), {}, 0).status());
  const MarkedText text = ToText(of);
  int64_t count = 0;
  bool inside = false;
  for (size_t at = 0; at < text.bytes.size();
       at += CharacterBytes(std::string_view(text.bytes).substr(at))) {
    const uint32_t c = FirstCharacter(std::string_view(text.bytes).substr(at)).value;
    const bool word = c == '_' || IsAlphanumeric(c);
    count += word && !inside ? 1 : 0;
    inside = word;
  }
  return Value(count);
}

Result UrlEncodeFilter(Machine& machine, const Value& of, Arguments arguments) {
  QF_RETURN_IF_ERROR(Bind("urlencode", std::move(arguments), {}, 0).status());
  if (!of.IsText() && !of.IsNumber())
    return Unimplemented("urlencode is supported for texts alone");
  constexpr std::string_view kPlain =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-~/";
  const MarkedText text = ToText(of);
  MarkedText out;
  for (size_t at = 0; at < text.bytes.size(); ++at) {
    const auto byte = static_cast<unsigned char>(text.bytes[at]);
    if (kPlain.find(text.bytes[at]) != std::string_view::npos)
      out.Append(text, at, at + 1);
    else
      out.Append(fmt::format("%{:02X}", byte), text.IsData(at));
  }
  return machine.Made(std::move(out));
}

constexpr Named<Filter> kWordFilters[] = {
    {"indent", IndentFilter}, {"truncate", TruncateFilter},   {"center", CenterFilter},
    {"title", TitleFilter},   {"wordcount", WordCountFilter}, {"urlencode", UrlEncodeFilter}};

}  // namespace

std::span<const Named<Filter>> WordFilters() { return kWordFilters; }

}  // namespace quantfleet::jinja
