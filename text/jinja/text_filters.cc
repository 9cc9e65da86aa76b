// Filters that make texts of values: tojson, default, join and the like.
#include <algorithm>

#include "text/jinja/access.h"
#include "text/jinja/arguments.h"
#include "text/jinja/format_text.h"
#include "text/jinja/iterate.h"
#include "text/jinja/operators.h"
#include "text/jinja/python_text.h"
#include "text/jinja/tables.h"
#include "text/jinja/text_operations.h"
#include "text/jinja/to_json.h"

namespace quantfleet::jinja {
namespace {

using Result = absl::StatusOr<Value>;

// A text stays what it is; other values become one.
Text Soft(const Value& of) { return of.IsText() ? of.text() : Text{ToText(of)}; }

Result ToJsonFilter(Machine& machine, const Value& of, Arguments arguments) {
  QF_ASSIGN_OR_RETURN(const auto given,
                      Bind("tojson", std::move(arguments),
                           {"ensure_ascii", "indent", "separators", "sort_keys"}, 0));
  JsonStyle style;
  style.ascii = TruthOr(given[0], false);
  style.sorted = TruthOr(given[3], false);
  if (!IsNothing(given[1])) {
    if (given[1]->IsText()) {
      style.indent = given[1]->bytes();
    } else {
      QF_ASSIGN_OR_RETURN(const int64_t width, WholeOr("tojson", given[1], 0));
      if (width > 1000) return FailedPrecondition("tojson cannot indent by {}", width);
      style.indent = std::string(static_cast<size_t>(std::max<int64_t>(width, 0)), ' ');
    }
    style.between = MarkedText{","};
  }
  if (!IsNothing(given[2])) {
    QF_ASSIGN_OR_RETURN(const std::vector<Value> two, Elements(machine, *given[2]));
    if (two.size() != 2 || !two[0].IsText() || !two[1].IsText())
      return FailedPrecondition("tojson needs two texts as separators");
    style.between = two[0].text().marked;
    style.colon = two[1].text().marked;
  }
  QF_RETURN_IF_ERROR(machine.budget().Take(of.weight()));
  QF_ASSIGN_OR_RETURN(MarkedText text, ToJson(of, style));
  return machine.Made(std::move(text));
}

Result DefaultFilter(Machine&, const Value& of, Arguments arguments) {
  QF_ASSIGN_OR_RETURN(auto given,
                      Bind("default", std::move(arguments), {"default_value", "boolean"}, 0));
  if (!of.IsUndefined() && (!TruthOr(given[1], false) || of.IsTrue())) return of;
  return given[0] ? *std::move(given[0]) : Value::Plain("");
}

Result StringFilter(Machine& machine, const Value& of, Arguments arguments) {
  QF_RETURN_IF_ERROR(Bind("string", std::move(arguments), {}, 0).status());
  if (of.IsText()) return of;
  QF_RETURN_IF_ERROR(machine.budget().Take(of.weight()));
  return machine.Made(ToText(of));
}

Result SafeFilter(Machine& machine, const Value& of, Arguments arguments) {
  QF_RETURN_IF_ERROR(Bind("safe", std::move(arguments), {}, 0).status());
  return machine.Made(ToText(of), true);
}

Result EscapeFilter(Machine& machine, const Value& of, Arguments arguments) {
  QF_RETURN_IF_ERROR(Bind("escape", std::move(arguments), {}, 0).status());
  const Text text = Soft(of);
  return machine.Made(text.markup ? text.marked : Escaped(text.marked), true);
}

Result ForceEscapeFilter(Machine& machine, const Value& of, Arguments arguments) {
  QF_RETURN_IF_ERROR(Bind("forceescape", std::move(arguments), {}, 0).status());
  return machine.Made(Escaped(ToText(of)), true);
}

Result TrimFilter(Machine& machine, const Value& of, Arguments arguments) {
  QF_ASSIGN_OR_RETURN(const auto given, Bind("trim", std::move(arguments), {"chars"}, 0));
  const Text text = Soft(of);
  if (IsNothing(given[0])) return machine.Made(text.marked.Strip(true, true), text.markup);
  if (!given[0]->IsText()) return WrongType("trim", "a text", *given[0]);
  const std::string_view set = given[0]->bytes();
  return machine.Made(text.marked.Strip(true, true, &set), text.markup);
}

template <MarkedText (*kChange)(const MarkedText&)>
Result ChangedSoft(Machine& machine, const Value& of, Arguments arguments) {
  QF_RETURN_IF_ERROR(Bind("the filter", std::move(arguments), {}, 0).status());
  const Text text = Soft(of);
  return machine.Made(kChange(text.marked), text.markup);
}

Result ReplaceFilter(Machine& machine, const Value& of, Arguments arguments) {
  QF_ASSIGN_OR_RETURN(const auto given,
                      Bind("replace", std::move(arguments), {"old", "new", "count"}, 2));
  int64_t count = -1;
  if (!IsNothing(given[2])) {
    QF_ASSIGN_OR_RETURN(count, WholeOr("replace", given[2], -1));
  }
  QF_ASSIGN_OR_RETURN(MarkedText text, Replaced(machine.budget(), ToText(of), ToText(*given[0]),
                                                ToText(*given[1]), count));
  return machine.Made(std::move(text));
}

Result JoinFilter(Machine& machine, const Value& of, Arguments arguments) {
  QF_ASSIGN_OR_RETURN(const auto given, Bind("join", std::move(arguments), {"d", "attribute"}, 0));
  const MarkedText between = given[0] ? ToText(*given[0]) : MarkedText{};
  QF_ASSIGN_OR_RETURN(const std::vector<Value> elements, Elements(machine, of));
  MarkedText out;
  for (size_t i = 0; i < elements.size(); ++i) {
    if (i > 0) out.Append(between);
    if (IsNothing(given[1])) {
      AppendText(elements[i], out);
    } else {
      QF_ASSIGN_OR_RETURN(const Value part, Path(machine, elements[i], *given[1]));
      AppendText(part, out);
    }
    if (out.bytes.size() > kMaxTextBytes) return machine.budget().TakeBytes(out.bytes.size());
  }
  return machine.Made(std::move(out));
}

Result FormatFilter(Machine& machine, const Value& of, Arguments arguments) {
  if (!arguments.named.empty()) {
    std::vector<std::pair<Value, Value>> entries;
    for (auto& [name, value] : arguments.named) entries.emplace_back(Value::Plain(name), value);
    QF_ASSIGN_OR_RETURN(const Value values, Value::Of(std::move(entries)));
    return FormatPercent(machine, Soft(of), values);
  }
  QF_ASSIGN_OR_RETURN(const Value values,
                      Value::Of(Sequence::Kind::kTuple, std::move(arguments.positional)));
  return FormatPercent(machine, Soft(of), values);
}

constexpr Named<Filter> kTextFilters[] = {{"tojson", ToJsonFilter},
                                          {"default", DefaultFilter},
                                          {"d", DefaultFilter},
                                          {"string", StringFilter},
                                          {"safe", SafeFilter},
                                          {"escape", EscapeFilter},
                                          {"e", EscapeFilter},
                                          {"forceescape", ForceEscapeFilter},
                                          {"trim", TrimFilter},
                                          {"lower", ChangedSoft<Lowered>},
                                          {"upper", ChangedSoft<Uppered>},
                                          {"capitalize", ChangedSoft<Capitalized>},
                                          {"replace", ReplaceFilter},
                                          {"join", JoinFilter},
                                          {"format", FormatFilter}};

}  // namespace

std::span<const Named<Filter>> TextFilters() { return kTextFilters; }

}  // namespace quantfleet::jinja
