#include "text/jinja/python_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "common/base/utf8.h"
#include "text/unicode/properties.h"

namespace quantfleet::jinja {
namespace {

void AppendQuoted(const MarkedText& text, MarkedText& out) {
  const std::string& bytes = text.bytes;
  const char quote =
      bytes.find('\'') != std::string::npos && bytes.find('"') == std::string::npos ? '"' : '\'';
  out.Append(std::string(1, quote), false);
  for (size_t at = 0, size = 0; at < bytes.size(); at += size) {
    const std::string_view rest = std::string_view(bytes).substr(at);
    const auto [c, length] = FirstCharacter(rest);
    size = length;
    std::string escaped;
    if (c == static_cast<unsigned char>(quote) || c == '\\')
      escaped = fmt::format("\\{}", bytes[at]);
    else if (c == '\n')
      escaped = "\\n";
    else if (c == '\r')
      escaped = "\\r";
    else if (c == '\t')
      escaped = "\\t";
    else if (c != kNoCharacter && !text::IsPrintable(c))
      escaped = c < 0x100     ? fmt::format("\\x{:02x}", c)
                : c < 0x10000 ? fmt::format("\\u{:04x}", c)
                              : fmt::format("\\U{:08x}", c);
    if (escaped.empty())
      out.Append(text, at, at + size);
    else
      out.Append(escaped, text.IsData(at));
  }
  out.Append(std::string(1, quote), false);
}

void AppendItems(const std::vector<Value>& items, MarkedText& out) {
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out.Append(", ", false);
    AppendRepr(items[i], out);
  }
}

void AppendSequence(const Sequence& sequence, MarkedText& out) {
  switch (sequence.kind) {
    case Sequence::Kind::kTuple:
      out.Append("(", false);
      AppendItems(sequence.items, out);
      out.Append(sequence.items.size() == 1 ? ",)" : ")", false);
      return;
    case Sequence::Kind::kRange: {
      // What it was made from is what it gives back, but for its end.
      const std::vector<Value>& items = sequence.items;
      const int64_t first = items.empty() ? 0 : items.front().whole();
      const int64_t step = items.size() < 2 ? 1 : items[1].whole() - first;
      const int64_t end = items.empty() ? 0 : items.back().whole() + step;
      out.Append(step == 1 ? fmt::format("range({}, {})", first, end)
                           : fmt::format("range({}, {}, {})", first, end, step),
                 false);
      return;
    }
    case Sequence::Kind::kList:
      out.Append("[", false);
      break;
    case Sequence::Kind::kKeys:
      out.Append("dict_keys([", false);
      break;
    case Sequence::Kind::kValues:
      out.Append("dict_values([", false);
      break;
    case Sequence::Kind::kItems:
      out.Append("dict_items([", false);
      break;
  }
  AppendItems(sequence.items, out);
  out.Append(sequence.kind == Sequence::Kind::kList ? "]" : "])", false);
}

}  // namespace

std::string RealText(double number) {
  if (std::isnan(number)) return "nan";
  if (std::isinf(number)) return number > 0 ? "inf" : "-inf";
  char buffer[64];
  const auto end =
      std::to_chars(buffer, buffer + sizeof buffer, number, std::chars_format::scientific).ptr;
  std::string_view text(buffer, static_cast<size_t>(end - buffer));
  std::string out;
  if (text.starts_with('-')) {
    out = "-";
    text.remove_prefix(1);
  }
  const size_t e = text.find('e');
  std::string digits(text.substr(0, e));
  std::erase(digits, '.');
  int exponent = 0;
  std::string_view tail = text.substr(e + 1);
  if (tail.starts_with('+')) tail.remove_prefix(1);
  std::from_chars(tail.data(), tail.data() + tail.size(), exponent);
  if (exponent < -4 || exponent >= 16) {
    out += digits.substr(0, 1);
    if (digits.size() > 1) out += "." + digits.substr(1);
    return out + fmt::format("e{}{:02}", exponent < 0 ? '-' : '+', std::abs(exponent));
  }
  if (exponent < 0)
    return out + "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + digits;
  const auto whole = static_cast<size_t>(exponent) + 1;
  if (digits.size() <= whole) return out + digits + std::string(whole - digits.size(), '0') + ".0";
  return out + digits.substr(0, whole) + "." + digits.substr(whole);
}

void AppendText(const Value& value, MarkedText& out) {
  if (value.IsText()) return out.Append(value.text().marked);
  if (value.IsUndefined()) return;
  AppendRepr(value, out);
}

MarkedText ToText(const Value& value) {
  if (value.IsText()) return value.text().marked;
  MarkedText out;
  AppendText(value, out);
  return out;
}

void AppendRepr(const Value& value, MarkedText& out) {
  switch (value.kind()) {
    case Value::Kind::kUndefined:
      return out.Append("Undefined", false);
    case Value::Kind::kNone:
      return out.Append("None", false);
    case Value::Kind::kBool:
      return out.Append(value.truth() ? "True" : "False", false);
    case Value::Kind::kInteger:
      return out.Append(fmt::format_int(value.whole()).c_str(), false);
    case Value::Kind::kFloat:
      return out.Append(RealText(value.real()), false);
    case Value::Kind::kText:
      if (value.text().markup) out.Append("Markup(", false);
      AppendQuoted(value.text().marked, out);
      if (value.text().markup) out.Append(")", false);
      return;
    case Value::Kind::kSequence:
      return AppendSequence(value.sequence(), out);
    case Value::Kind::kDictionary: {
      out.Append("{", false);
      bool first = true;
      for (const auto& [key, element] : value.dictionary().entries) {
        if (!std::exchange(first, false)) out.Append(", ", false);
        AppendRepr(key, out);
        out.Append(": ", false);
        AppendRepr(element, out);
      }
      return out.Append("}", false);
    }
    case Value::Kind::kNamespace:
    case Value::Kind::kCallable:
    case Value::Kind::kIterator:
    case Value::Kind::kLoop:
      // Python tells addresses here.
      return out.Append(fmt::format("<{} object>", TypeName(value)), false);
  }
}

}  // namespace quantfleet::jinja
