// Filters of numbers.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

#include "text/jinja/access.h"
#include "text/jinja/arguments.h"
#include "text/jinja/iterate.h"
#include "text/jinja/operators.h"
#include "text/jinja/tables.h"

namespace quantfleet::jinja {
namespace {

using Result = absl::StatusOr<Value>;

std::string Trimmed(const Value& of) {
  std::string text = of.text().marked.Strip(true, true).bytes;
  std::erase(text, '_');
  if (text.starts_with('+')) text.erase(0, 1);
  return text;
}

std::optional<double> ParseReal(const Value& of) {
  const std::string text = Trimmed(of);
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::optional<int64_t> ParseWhole(const Value& of, int base) {
  std::string text = Trimmed(of);
  const bool negative = text.starts_with('-');
  if (negative) text.erase(0, 1);
  const std::string_view prefix = base == 16 ? "0x" : base == 8 ? "0o" : base == 2 ? "0b" : "";
  if (!prefix.empty() && text.starts_with(prefix)) text.erase(0, 2);
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  if (error != std::errc() || end != text.data() + text.size() || text.starts_with('-'))
    return std::nullopt;
  return negative ? -number : number;
}

std::optional<int64_t> Truncated(double number) {
  if (!(std::abs(number) < 9.2e18)) return std::nullopt;
  return static_cast<int64_t>(number);
}

Result IntFilter(Machine&, const Value& of, Arguments arguments) {
  QF_ASSIGN_OR_RETURN(const auto given, Bind("int", std::move(arguments), {"default", "base"}, 0));
  QF_ASSIGN_OR_RETURN(const int64_t base, WholeOr("int", given[1], 10));
  if (base < 2 || base > 36) return FailedPrecondition("int cannot read numbers to base {}", base);
  std::optional<int64_t> number;
  if (of.IsText()) {
    number = ParseWhole(of, static_cast<int>(base));
    if (!number)
      if (const std::optional<double> real = ParseReal(of)) number = Truncated(*real);
  } else if (of.IsWhole()) {
    number = of.whole();
  } else if (of.IsNumber()) {
    number = Truncated(of.real());
  }
  if (number) return Value(*number);
  return given[0] ? *given[0] : Value(int64_t{0});
}

Result FloatFilter(Machine&, const Value& of, Arguments arguments) {
  QF_ASSIGN_OR_RETURN(const auto given, Bind("float", std::move(arguments), {"default"}, 0));
  if (of.IsNumber()) return Value(of.number());
  if (of.IsText())
    if (const std::optional<double> number = ParseReal(of)) return Value(*number);
  return given[0] ? *given[0] : Value(0.0);
}

Result AbsFilter(Machine&, const Value& of, Arguments arguments) {
  QF_RETURN_IF_ERROR(Bind("abs", std::move(arguments), {}, 0).status());
  if (!of.IsNumber()) return WrongType("abs", "a number", of);
  return of.number() < 0 ? Negative(of) : of.kind() == Value::Kind::kBool ? Value(of.whole()) : of;
}

Result RoundFilter(Machine&, const Value& of, Arguments arguments) {
  QF_ASSIGN_OR_RETURN(const auto given,
                      Bind("round", std::move(arguments), {"precision", "method"}, 0));
  QF_ASSIGN_OR_RETURN(const int64_t precision, WholeOr("round", given[0], 0));
  const std::string_view method = given[1] && given[1]->IsText() ? given[1]->bytes() : "common";
  if (!of.IsNumber()) return WrongType("round", "a number", of);
  if (std::abs(precision) > 300) return FailedPrecondition("round cannot keep so many digits");
  const double scale = std::pow(10.0, static_cast<double>(precision));
  if (method == "ceil") return Value(std::ceil(of.number() * scale) / scale);
  if (method == "floor") return Value(std::floor(of.number() * scale) / scale);
  if (method != "common") return FailedPrecondition("round's method is common, ceil or floor");
  if (of.IsWhole() && precision >= 0) return Value(of.whole());
  if (of.IsWhole()) return Value(static_cast<int64_t>(std::nearbyint(of.number() * scale) / scale));
  if (precision <= 0) return Value(std::nearbyint(of.real() * scale) / scale);
  // Python rounds the number's exact value, which a printed number does too.
  const std::string text = fmt::format("{:.{}f}", of.real(), precision);
  double rounded = 0;
  std::from_chars(text.data(), text.data() + text.size(), rounded);
  return Value(rounded);
}

Result SumFilter(Machine& machine, const Value& of, Arguments arguments) {
  QF_ASSIGN_OR_RETURN(const auto given,
                      Bind("sum", std::move(arguments), {"attribute", "start"}, 0));
  QF_ASSIGN_OR_RETURN(const std::vector<Value> elements, Elements(machine, of));
  Value sum = given[1] ? *given[1] : Value(int64_t{0});
  for (const Value& element : elements) {
    Value part = element;
    if (!IsNothing(given[0])) {
      QF_ASSIGN_OR_RETURN(part, Path(machine, element, *given[0]));
    }
    if (part.IsText()) return WrongType("sum", "numbers or lists", part);
    QF_ASSIGN_OR_RETURN(sum, Binary(machine, "+", sum, part));
  }
  return sum;
}

constexpr Named<Filter> kNumberFilters[] = {{"int", IntFilter},
                                            {"float", FloatFilter},
                                            {"abs", AbsFilter},
                                            {"round", RoundFilter},
                                            {"sum", SumFilter}};

}  // namespace

std::span<const Named<Filter>> NumberFilters() { return kNumberFilters; }

}  // namespace quantfleet::jinja
