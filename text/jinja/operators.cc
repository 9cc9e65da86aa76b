#include "text/jinja/operators.h"

#include <cmath>

#include "text/jinja/arguments.h"
#include "text/jinja/format_text.h"
#include "text/jinja/iterate.h"
#include "text/jinja/python_text.h"

namespace quantfleet::jinja {
namespace {

absl::Status Unfit(std::string_view op, const Value& left, const Value& right) {
  for (const Value* value : {&left, &right})
    if (value->IsUndefined() && value->undefined().why)
      return FailedPrecondition("{}", *value->undefined().why);
  return FailedPrecondition("\"{}\" is not possible with types {} and {}", op, TypeName(left),
                            TypeName(right));
}

absl::Status TooLarge() { return ResourceExhausted("a number of the template is too large"); }

absl::StatusOr<Value> Repeat(Machine& machine, const Value& of, int64_t count) {
  const auto times = static_cast<uint64_t>(std::max<int64_t>(count, 0));
  if (of.IsText()) {
    const size_t size = of.bytes().size();
    if (size > 0 && times > kMaxTextBytes / size)
      return ResourceExhausted("the template makes texts of more than {} bytes", kMaxTextBytes);
    QF_RETURN_IF_ERROR(machine.budget().Take(times));
    MarkedText out;
    if (size > 0)
      for (uint64_t i = 0; i < times; ++i) out.Append(of.text().marked);
    return machine.Made(std::move(out), of.text().markup);
  }
  const std::vector<Value>& items = of.sequence().items;
  if (!items.empty() && times > kMaxWeight / items.size())
    return ResourceExhausted("the template makes a list with more than {} elements", kMaxWeight);
  QF_RETURN_IF_ERROR(machine.budget().Take(times * items.size()));
  std::vector<Value> out;
  if (!items.empty())
    for (uint64_t i = 0; i < times; ++i) out.insert(out.end(), items.begin(), items.end());
  return Value::Of(of.sequence().kind, std::move(out));
}

absl::StatusOr<Value> AddTexts(Machine& machine, const Text& left, const Text& right) {
  const bool markup = left.markup || right.markup;
  MarkedText out = markup && !left.markup ? Escaped(left.marked) : left.marked;
  out.Append(markup && !right.markup ? Escaped(right.marked) : right.marked);
  return machine.Made(std::move(out), markup);
}

absl::StatusOr<Value> AddSequences(Machine& machine, const Sequence& left, const Sequence& right) {
  QF_RETURN_IF_ERROR(machine.budget().Take(left.items.size() + right.items.size()));
  std::vector<Value> items = left.items;
  items.insert(items.end(), right.items.begin(), right.items.end());
  return Value::Of(left.kind, std::move(items));
}

bool IsListLike(const Value& value) {
  const Sequence* sequence = value.if_sequence();
  return sequence != nullptr &&
         (sequence->kind == Sequence::Kind::kList || sequence->kind == Sequence::Kind::kTuple);
}

absl::StatusOr<Value> WholePower(int64_t base, int64_t exponent) {
  int64_t result = 1;
  // Beyond 64 turns, only powers of -1, 0 and 1 fit.
  if (base == 0 || base == 1) return Value(exponent == 0 ? int64_t{1} : base);
  if (base == -1) return Value(exponent % 2 == 0 ? int64_t{1} : int64_t{-1});
  for (int64_t i = 0; i < exponent; ++i)
    if (__builtin_mul_overflow(result, base, &result)) return TooLarge();
  return Value(result);
}

absl::StatusOr<Value> WholeArithmetic(std::string_view op, int64_t a, int64_t b) {
  int64_t result = 0;
  bool overflow = false;
  if (op == "+") {
    overflow = __builtin_add_overflow(a, b, &result);
  } else if (op == "-") {
    overflow = __builtin_sub_overflow(a, b, &result);
  } else if (op == "*") {
    overflow = __builtin_mul_overflow(a, b, &result);
  } else if (op == "**") {
    if (b >= 0) return WholePower(a, b);
    if (a == 0) return FailedPrecondition("division by zero");
    return Value(std::pow(static_cast<double>(a), static_cast<double>(b)));
  } else {
    if (b == 0) return FailedPrecondition("division by zero");
    if (op == "/") return Value(static_cast<double>(a) / static_cast<double>(b));
    if (b == -1) {  // the smallest number has no opposite
      overflow = op == "//" && __builtin_sub_overflow(int64_t{0}, a, &result);
    } else {
      // Python rounds down.
      const int64_t quotient = a / b - (a % b != 0 && (a < 0) != (b < 0) ? 1 : 0);
      result = op == "//" ? quotient : a - quotient * b;
    }
  }
  if (overflow) return TooLarge();
  return Value(result);
}

absl::StatusOr<Value> RealArithmetic(std::string_view op, double a, double b) {
  if (op == "+") return Value(a + b);
  if (op == "-") return Value(a - b);
  if (op == "*") return Value(a * b);
  if (op == "**") return Value(std::pow(a, b));
  if (b == 0) return FailedPrecondition("division by zero");
  if (op == "/") return Value(a / b);
  double rest = std::fmod(a, b);
  if (rest != 0 && (rest < 0) != (b < 0)) rest += b;
  if (op == "%") return Value(rest);
  return Value(std::floor((a - rest) / b + 0.5));
}

absl::StatusOr<bool> Contains(Machine& machine, const Value& whole, const Value& part) {
  if (whole.IsText()) {
    if (!part.IsText()) return WrongType("\"in\" with a text", "a text", part);
    QF_RETURN_IF_ERROR(machine.budget().Take(whole.bytes().size() / 64));
    return whole.bytes().find(part.bytes()) != std::string_view::npos;
  }
  if (const Dictionary* dictionary = whole.if_dictionary()) {
    QF_RETURN_IF_ERROR(machine.budget().Take(dictionary->entries.size() / 16));
    return dictionary->Find(part) != nullptr;
  }
  if (const Sequence* sequence = whole.if_sequence()) {
    QF_RETURN_IF_ERROR(machine.budget().Take(sequence->weight / 16));
    for (const Value& item : sequence->items)
      if (Equal(item, part)) return true;
    return false;
  }
  QF_ASSIGN_OR_RETURN(const std::shared_ptr<Iterator> iterator, Iterate(whole));
  while (true) {
    Value element;
    QF_ASSIGN_OR_RETURN(const bool more, iterator->Next(machine, element));
    if (!more) return false;
    if (Equal(element, part)) return true;
  }
}

}  // namespace

MarkedText Escaped(const MarkedText& text) {
  constexpr std::string_view kMarks = "&<>\"'";
  constexpr std::string_view kWritten[] = {"&amp;", "&lt;", "&gt;", "&#34;", "&#39;"};
  MarkedText out;
  size_t plain = 0;
  while (true) {
    const size_t at = text.bytes.find_first_of(kMarks, plain);
    out.Append(text, plain, std::min(at, text.bytes.size()));
    if (at == std::string::npos) return out;
    out.Append(kWritten[kMarks.find(text.bytes[at])], text.IsData(at));
    plain = at + 1;
  }
}

absl::StatusOr<Value> Binary(Machine& machine, std::string_view op, const Value& left,
                             const Value& right) {
  if (left.IsNumber() && right.IsNumber())
    return left.IsWhole() && right.IsWhole() ? WholeArithmetic(op, left.whole(), right.whole())
                                             : RealArithmetic(op, left.number(), right.number());
  if (op == "+") {
    if (left.IsText() && right.IsText()) return AddTexts(machine, left.text(), right.text());
    if (IsListLike(left) && IsListLike(right) && left.sequence().kind == right.sequence().kind)
      return AddSequences(machine, left.sequence(), right.sequence());
  }
  if (op == "*") {
    if ((left.IsText() || IsListLike(left)) && right.IsWhole())
      return Repeat(machine, left, right.whole());
    if ((right.IsText() || IsListLike(right)) && left.IsWhole())
      return Repeat(machine, right, left.whole());
  }
  if (op == "%" && left.IsText()) return FormatPercent(machine, left.text(), right);
  return Unfit(op, left, right);
}

absl::StatusOr<Value> Negative(const Value& of) {
  if (of.IsWhole()) return WholeArithmetic("-", 0, of.whole());
  if (of.IsNumber()) return Value(-of.real());
  return Unfit("-", of, of);
}

absl::StatusOr<bool> Less(const Value& left, const Value& right) {
  if (left.IsWhole() && right.IsWhole()) return left.whole() < right.whole();
  if (left.IsNumber() && right.IsNumber()) return left.number() < right.number();
  if (left.IsText() && right.IsText()) return left.bytes() < right.bytes();
  if (IsListLike(left) && IsListLike(right)) {
    const std::vector<Value>&a = left.sequence().items, &b = right.sequence().items;
    for (size_t i = 0; i < a.size() && i < b.size(); ++i)
      if (!Equal(a[i], b[i])) return Less(a[i], b[i]);
    return a.size() < b.size();
  }
  return Unfit("<", left, right);
}

absl::StatusOr<bool> Compare(Machine& machine, std::string_view op, const Value& left,
                             const Value& right) {
  if (op == "in") return Contains(machine, right, left);
  if (op == "not in") {
    QF_ASSIGN_OR_RETURN(const bool in, Contains(machine, right, left));
    return !in;
  }
  if (op == "==" || op == "!=") {
    QF_RETURN_IF_ERROR(machine.budget().Take(std::min(left.weight(), right.weight()) / 4));
    return Equal(left, right) == (op == "==");
  }
  const bool number = left.IsNumber() && right.IsNumber();
  const bool swap = op == ">" || op == "<=";
  QF_ASSIGN_OR_RETURN(const bool less, swap ? Less(right, left) : Less(left, right));
  if (op == "<" || op == ">") return less;
  // NaN is neither.
  if (number && (std::isnan(left.number()) || std::isnan(right.number()))) return false;
  return !less;
}

}  // namespace quantfleet::jinja
