#include "text/jinja/format_text.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <optional>

#include "common/base/outside_text.h"
#include "common/base/utf8.h"
#include "text/jinja/access.h"
#include "text/jinja/arguments.h"
#include "text/jinja/operators.h"
#include "text/jinja/python_text.h"

namespace quantfleet::jinja {
namespace {

// Of a width or precision.
constexpr size_t kMost = 10'000;

// How one value is laid out: fill, alignment and so on.
struct Layout {
  std::string fill = " ";
  char align = '\0';  // < > ^ =, or none said
  char sign = '-';
  bool zeros = false, grouped = false, alternate = false;
  size_t width = 0;
  std::optional<int> precision;
  char type = '\0';
};

size_t TakeNumber(std::string_view& text, size_t otherwise) {
  size_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) return otherwise;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return number;
}

absl::Status Unknown(std::string_view what) {
  return FailedPrecondition("the format \"{}\" does not fit its value", Shown(what, 40));
}

MarkedText Padded(MarkedText text, const Layout& layout, char usual) {
  const size_t have = CountCharacters(text.bytes);
  if (have >= layout.width) return text;
  const size_t missing = layout.width - have;
  const char align = layout.align != '\0' ? layout.align : usual;
  const size_t before = align == '<' ? 0 : align == '^' ? missing / 2 : missing;
  const auto fill = [&](size_t count, MarkedText& out) {
    for (size_t i = 0; i < count; ++i) out.Append(layout.fill, false);
  };
  MarkedText out;
  size_t at = 0;
  if (align == '=' && !text.bytes.empty() && (text.bytes[0] == '-' || text.bytes[0] == '+')) at = 1;
  out.Append(text, 0, at);
  fill(before, out);
  out.Append(text, at, text.bytes.size());
  fill(missing - before, out);
  return out;
}

std::string Grouped(std::string digits) {
  const size_t end = std::min(digits.find_first_of(".e"), digits.size());
  const size_t begin = digits.starts_with('-') ? 1 : 0;
  for (size_t at = end; at > begin + 3;) {
    at -= 3;
    digits.insert(at, ",");
  }
  return digits;
}

absl::StatusOr<std::string> NumberText(const Value& value, const Layout& layout) {
  std::string text;
  const char type = layout.type;
  if (std::string_view("dixXobn").find(type) != std::string_view::npos || type == '\0') {
    if (value.IsWhole()) {
      const int64_t number = value.whole();
      const uint64_t size = number < 0 ? 0 - static_cast<uint64_t>(number) : number;
      const std::string prefix = number < 0 ? "-" : "";
      if (type == 'x')
        text = prefix + (layout.alternate ? fmt::format("{:#x}", size) : fmt::format("{:x}", size));
      else if (type == 'X')
        text = prefix + (layout.alternate ? fmt::format("{:#X}", size) : fmt::format("{:X}", size));
      else if (type == 'o')
        text = prefix + (layout.alternate ? "0o" : "") + fmt::format("{:o}", size);
      else if (type == 'b')
        text = prefix + (layout.alternate ? fmt::format("{:#b}", size) : fmt::format("{:b}", size));
      else
        text = prefix + std::to_string(size);
    } else if (type == '\0' && !layout.precision) {
      text = RealText(value.number());
    } else if (type == '\0') {
      text = fmt::format("{:.{}g}", value.number(), *layout.precision);
    } else {
      return Unknown(std::string(1, type));
    }
  } else {
    const double number = type == '%' ? value.number() * 100 : value.number();
    const int precision = layout.precision.value_or(6);
    if (type == 'f' || type == 'F' || type == '%')
      text = fmt::format("{:.{}f}", number, precision);
    else if (type == 'e')
      text = fmt::format("{:.{}e}", number, precision);
    else if (type == 'E')
      text = fmt::format("{:.{}E}", number, precision);
    else if (type == 'g')
      text = fmt::format("{:.{}g}", number, precision);
    else if (type == 'G')
      text = fmt::format("{:.{}G}", number, precision);
    else
      return Unknown(std::string(1, type));
    if (type == '%') text += '%';
  }
  if (layout.grouped) text = Grouped(std::move(text));
  if (layout.sign != '-' && !text.starts_with('-')) text.insert(0, 1, layout.sign);
  return text;
}

MarkedText Cut(MarkedText text, const Layout& layout) {
  if (!layout.precision) return text;
  return text.Slice(0, ByteOfCharacter(text.bytes, static_cast<size_t>(*layout.precision)));
}

// "{:>8.2f}": what follows the colon.
absl::StatusOr<Layout> ReadLayout(std::string_view spec) {
  Layout layout;
  std::string_view rest = spec;
  const auto is_align = [](char c) { return c == '<' || c == '>' || c == '^' || c == '='; };
  if (!rest.empty()) {
    const size_t first = CharacterBytes(rest);
    if (rest.size() > first && is_align(rest[first])) {
      layout.fill = rest.substr(0, first);
      layout.align = rest[first];
      rest.remove_prefix(first + 1);
    } else if (is_align(rest[0])) {
      layout.align = rest[0];
      rest.remove_prefix(1);
    }
  }
  const auto take = [&rest](std::string_view any) {
    if (rest.empty() || any.find(rest[0]) == std::string_view::npos) return '\0';
    const char c = rest[0];
    rest.remove_prefix(1);
    return c;
  };
  if (const char sign = take("+- ")) layout.sign = sign;
  layout.alternate = take("#") != '\0';
  if (take("0") != '\0') {
    if (layout.align == '\0') {
      layout.align = '=';
      layout.fill = "0";
    }
  }
  layout.width = TakeNumber(rest, 0);
  layout.grouped = take(",") != '\0';
  if (take(".") != '\0') {
    const size_t precision = TakeNumber(rest, kMost + 1);
    if (precision > kMost) return Unknown(spec);
    layout.precision = static_cast<int>(precision);
  }
  layout.type = take("sdixXobnfFeEgG%");
  if (!rest.empty() || layout.width > kMost) return Unknown(spec);
  return layout;
}

absl::StatusOr<MarkedText> Formatted(const Value& value, std::string_view spec) {
  if (spec.empty()) return ToText(value);
  QF_ASSIGN_OR_RETURN(const Layout layout, ReadLayout(spec));
  if (value.IsNumber() && layout.type != 's') {
    if (value.kind() == Value::Kind::kBool && layout.type == '\0')
      return Padded(ToText(value), layout, '>');
    QF_ASSIGN_OR_RETURN(std::string text, NumberText(value, layout));
    return Padded(MarkedText{std::move(text)}, layout, '>');
  }
  if (!value.IsText() || (layout.type != '\0' && layout.type != 's')) return Unknown(spec);
  return Padded(Cut(value.text().marked, layout), layout, '<');
}

// One "%...": `rest` begins behind the sign, and is moved behind the whole.
absl::StatusOr<Layout> TakePercent(std::string_view& rest, std::optional<std::string>& name) {
  Layout layout;
  if (rest.starts_with('(')) {
    const size_t end = rest.find(')');
    if (end == std::string_view::npos) return Unknown(rest);
    name = rest.substr(1, end - 1);
    rest.remove_prefix(end + 1);
  }
  while (!rest.empty() && std::string_view("#0- +").find(rest[0]) != std::string_view::npos) {
    if (rest[0] == '-') layout.align = '<';
    if (rest[0] == '0') layout.zeros = true;
    if (rest[0] == '#') layout.alternate = true;
    if (rest[0] == '+') layout.sign = '+';
    if (rest[0] == ' ' && layout.sign == '-') layout.sign = ' ';
    rest.remove_prefix(1);
  }
  layout.width = TakeNumber(rest, 0);
  if (rest.starts_with('.')) {
    rest.remove_prefix(1);
    layout.precision = static_cast<int>(std::min(TakeNumber(rest, 0), kMost + 1));
  }
  if (rest.empty() || layout.width > kMost ||
      layout.precision.value_or(0) > static_cast<int>(kMost))
    return Unknown(rest);
  layout.type = rest[0];
  rest.remove_prefix(1);
  if (layout.type == 'u') layout.type = 'd';
  return layout;
}

absl::StatusOr<MarkedText> Percent(Layout layout, const Value& value) {
  if (layout.type == 's' || layout.type == 'r') {
    MarkedText text;
    if (layout.type == 's')
      AppendText(value, text);
    else
      AppendRepr(value, text);
    return Padded(Cut(std::move(text), layout), layout, '>');
  }
  if (layout.type == 'c' && value.IsText() && CountCharacters(value.bytes()) == 1)
    return Padded(value.text().marked, layout, '>');
  if (!value.IsNumber()) return WrongType("%", "a number", value);
  Value number = value;
  if (std::string_view("dixXo").find(layout.type) != std::string_view::npos && !value.IsWhole())
    number = Value(static_cast<int64_t>(std::clamp(value.real(), -9e18, 9e18)));
  if (layout.zeros && layout.align == '\0') {
    layout.fill = "0";
    layout.align = '=';
  }
  const std::optional<int> precision = layout.precision;
  QF_ASSIGN_OR_RETURN(std::string text, NumberText(number, layout));
  if (number.IsWhole() && precision) {
    const size_t sign = !text.empty() && (text[0] == '-' || text[0] == '+') ? 1 : 0;
    while (text.size() - sign < static_cast<size_t>(*precision)) text.insert(sign, 1, '0');
  }
  return Padded(MarkedText{std::move(text)}, layout, '>');
}

// "a.b[0]" of "{a.b[0]}".
absl::StatusOr<Value> Field(Machine& machine, std::string_view field, const Arguments& values,
                            size_t& automatic) {
  const size_t end = std::min(field.find_first_of(".["), field.size());
  const std::string_view name = field.substr(0, end);
  std::optional<Value> at;
  size_t number = 0;
  const auto [stop, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (name.empty()) number = automatic++;
  if (name.empty() || (error == std::errc() && stop == name.data() + name.size())) {
    if (number < values.positional.size()) at = values.positional[number];
  } else {
    for (const auto& [key, value] : values.named)
      if (key == name) at = value;
  }
  if (!at) return FailedPrecondition("format is not given \"{}\"", Shown(name, 40));
  for (std::string_view rest = field.substr(end); !rest.empty();) {
    if (rest[0] == '.') {
      const size_t size = std::min(rest.find_first_of(".[", 1), rest.size());
      QF_ASSIGN_OR_RETURN(at, Attribute(machine, *at, rest.substr(1, size - 1)));
      rest.remove_prefix(size);
    } else {
      const size_t close = rest.find(']');
      if (rest[0] != '[' || close == std::string_view::npos) return Unknown(field);
      std::string_view key = rest.substr(1, close - 1);
      int64_t index = 0;
      const auto [last, bad] = std::from_chars(key.data(), key.data() + key.size(), index);
      const bool whole = bad == std::errc() && last == key.data() + key.size();
      QF_ASSIGN_OR_RETURN(at, Item(machine, *at, whole ? Value(index) : Value::Plain(key)));
      rest.remove_prefix(close + 1);
    }
  }
  return *std::move(at);
}

}  // namespace

absl::StatusOr<Value> FormatPercent(Machine& machine, const Text& format, const Value& values) {
  const Sequence* sequence = values.if_sequence();
  const bool tuple = sequence != nullptr && sequence->kind == Sequence::Kind::kTuple;
  const Dictionary* dictionary = values.if_dictionary();
  size_t used = 0;
  MarkedText out;
  const std::string_view whole = format.marked.bytes;
  size_t at = 0;
  while (true) {
    const size_t sign = std::min(whole.find('%', at), whole.size());
    out.Append(format.marked, at, sign);
    if (sign == whole.size()) break;
    std::string_view rest = whole.substr(sign + 1);
    if (rest.starts_with('%')) {
      out.Append(format.marked, sign, sign + 1);
      at = sign + 2;
      continue;
    }
    std::optional<std::string> name;
    QF_ASSIGN_OR_RETURN(const Layout layout, TakePercent(rest, name));
    at = whole.size() - rest.size();
    const Value* value = nullptr;
    if (name)
      value = dictionary == nullptr ? nullptr : dictionary->Find(*name);
    else if (tuple)
      value = used < sequence->items.size() ? &sequence->items[used++] : nullptr;
    else
      value = used++ == 0 ? &values : nullptr;
    if (value == nullptr) return FailedPrecondition("not enough arguments for the format");
    QF_ASSIGN_OR_RETURN(MarkedText text, Percent(layout, *value));
    out.Append(format.markup && !(value->IsText() && value->text().markup) ? Escaped(text) : text);
    QF_RETURN_IF_ERROR(machine.budget().TakeBytes(text.bytes.size()));
  }
  if ((tuple && used < sequence->items.size()) || (!tuple && used == 0 && dictionary == nullptr))
    return FailedPrecondition("not all arguments are used by the format");
  return machine.Made(std::move(out), format.markup);
}

absl::StatusOr<Value> FormatBraces(Machine& machine, const Text& format, const Arguments& values) {
  const std::string_view whole = format.marked.bytes;
  MarkedText out;
  size_t automatic = 0, at = 0;
  while (true) {
    const size_t brace = std::min(whole.find_first_of("{}", at), whole.size());
    out.Append(format.marked, at, brace);
    if (brace == whole.size()) return machine.Made(std::move(out), format.markup);
    if (brace + 1 < whole.size() && whole[brace + 1] == whole[brace]) {
      out.Append(format.marked, brace, brace + 1);
      at = brace + 2;
      continue;
    }
    const size_t end = whole.find('}', brace);
    if (whole[brace] == '}' || end == std::string_view::npos)
      return FailedPrecondition("a brace of the format stands alone");
    std::string_view field = whole.substr(brace + 1, end - brace - 1);
    const size_t colon = std::min(field.find(':'), field.size());
    const std::string_view spec = field.substr(std::min(colon + 1, field.size()));
    if (spec.find('{') != std::string_view::npos)
      return Unimplemented("a format within a format is not supported");
    field = field.substr(0, colon);
    char conversion = '\0';
    if (const size_t mark = field.find('!'); mark != std::string_view::npos) {
      if (mark + 2 != field.size()) return Unknown(field);
      conversion = field.back();
      field = field.substr(0, mark);
    }
    QF_ASSIGN_OR_RETURN(Value value, Field(machine, field, values, automatic));
    if (conversion == 's') value = Value(ToText(value));
    if (conversion == 'r') {
      MarkedText text;
      AppendRepr(value, text);
      value = Value(std::move(text));
    }
    QF_ASSIGN_OR_RETURN(MarkedText text, Formatted(value, spec));
    QF_RETURN_IF_ERROR(machine.budget().TakeBytes(text.bytes.size()));
    out.Append(format.markup && !(value.IsText() && value.text().markup) ? Escaped(text) : text);
    at = end + 1;
  }
}

}  // namespace quantfleet::jinja
