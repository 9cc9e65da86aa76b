// What follows "is".
#include <algorithm>

#include "common/base/utf8.h"
#include "text/jinja/arguments.h"
#include "text/jinja/operators.h"
#include "text/jinja/python_characters.h"
#include "text/jinja/python_text.h"
#include "text/jinja/tables.h"

namespace quantfleet::jinja {
namespace {

using TestResult = absl::StatusOr<bool>;

template <bool (*kIs)(const Value&)>
TestResult PlainTest(Machine&, const Value& of, Arguments arguments) {
  QF_RETURN_IF_ERROR(Bind("the test", std::move(arguments), {}, 0).status());
  return kIs(of);
}

bool IsDefined(const Value& of) { return !of.IsUndefined(); }
bool IsUndefined(const Value& of) { return of.IsUndefined(); }
bool IsNone(const Value& of) { return of.IsNone(); }
bool IsString(const Value& of) { return of.IsText(); }
bool IsMapping(const Value& of) { return of.kind() == Value::Kind::kDictionary; }
bool IsNumber(const Value& of) { return of.IsNumber(); }
bool IsInteger(const Value& of) { return of.kind() == Value::Kind::kInteger; }
bool IsFloat(const Value& of) { return of.kind() == Value::Kind::kFloat; }
bool IsBoolean(const Value& of) { return of.kind() == Value::Kind::kBool; }
bool IsTrue(const Value& of) { return IsBoolean(of) && of.truth(); }
bool IsFalse(const Value& of) { return IsBoolean(of) && !of.truth(); }
bool IsCallable(const Value& of) {
  return of.kind() == Value::Kind::kCallable || of.IsUndefined() || of.kind() == Value::Kind::kLoop;
}
bool IsIterable(const Value& of) {
  return of.IsUndefined() || of.IsText() || of.if_sequence() != nullptr || IsMapping(of) ||
         of.kind() == Value::Kind::kIterator || of.kind() == Value::Kind::kLoop;
}
// What has a length and elements by number or key.
bool IsSequence(const Value& of) {
  if (const Sequence* sequence = of.if_sequence())
    return sequence->kind != Sequence::Kind::kKeys && sequence->kind != Sequence::Kind::kValues &&
           sequence->kind != Sequence::Kind::kItems;
  return of.IsUndefined() || of.IsText() || IsMapping(of);
}
bool IsEscaped(const Value& of) { return of.IsText() && of.text().markup; }

template <bool (*kIs)(std::string_view)>
bool IsAll(const Value& of) {
  return kIs(ToText(of).bytes);
}

template <int64_t kRest>
TestResult IsRest(Machine&, const Value& of, Arguments arguments) {
  QF_RETURN_IF_ERROR(Bind("odd and even", std::move(arguments), {}, 0).status());
  if (!of.IsWhole()) return WrongType("odd and even", "a whole number", of);
  return (of.whole() % 2 != 0) == (kRest == 1);
}

TestResult IsDivisibleBy(Machine& machine, const Value& of, Arguments arguments) {
  QF_ASSIGN_OR_RETURN(const auto given, Bind("divisibleby", std::move(arguments), {"num"}, 1));
  QF_ASSIGN_OR_RETURN(const Value rest, Binary(machine, "%", of, *given[0]));
  return !rest.IsTrue();
}

TestResult IsSameAs(Machine&, const Value& of, Arguments arguments) {
  QF_ASSIGN_OR_RETURN(const auto given, Bind("sameas", std::move(arguments), {"other"}, 1));
  return of.IsSame(*given[0]);
}

TestResult IsFilter(Machine&, const Value& of, Arguments) {
  return of.IsText() && FindFilter(of.bytes()) != nullptr;
}
TestResult IsTest(Machine&, const Value& of, Arguments) {
  return of.IsText() && FindTest(of.bytes()) != nullptr;
}

template <char kFirst, char kSecond>
TestResult Compares(Machine& machine, const Value& of, Arguments arguments) {
  QF_ASSIGN_OR_RETURN(const auto given, Bind("the test", std::move(arguments), {"other"}, 1));
  const char op[] = {kFirst, kSecond};
  return Compare(machine, std::string_view(op, kSecond == ' ' ? 1 : 2), of, *given[0]);
}

constexpr Named<Test> kTests[] = {{"defined", PlainTest<IsDefined>},
                                  {"undefined", PlainTest<IsUndefined>},
                                  {"none", PlainTest<IsNone>},
                                  {"string", PlainTest<IsString>},
                                  {"mapping", PlainTest<IsMapping>},
                                  {"number", PlainTest<IsNumber>},
                                  {"integer", PlainTest<IsInteger>},
                                  {"float", PlainTest<IsFloat>},
                                  {"boolean", PlainTest<IsBoolean>},
                                  {"true", PlainTest<IsTrue>},
                                  {"false", PlainTest<IsFalse>},
                                  {"callable", PlainTest<IsCallable>},
                                  {"iterable", PlainTest<IsIterable>},
                                  {"sequence", PlainTest<IsSequence>},
                                  {"escaped", PlainTest<IsEscaped>},
                                  {"lower", PlainTest<IsAll<IsLowerText>>},
                                  {"upper", PlainTest<IsAll<IsUpperText>>},
                                  {"odd", IsRest<1>},
                                  {"even", IsRest<0>},
                                  {"divisibleby", IsDivisibleBy},
                                  {"sameas", IsSameAs},
                                  {"filter", IsFilter},
                                  {"test", IsTest},
                                  {"in", Compares<'i', 'n'>},
                                  {"==", Compares<'=', '='>},
                                  {"eq", Compares<'=', '='>},
                                  {"equalto", Compares<'=', '='>},
                                  {"!=", Compares<'!', '='>},
                                  {"ne", Compares<'!', '='>},
                                  {"<", Compares<'<', ' '>},
                                  {"lt", Compares<'<', ' '>},
                                  {"lessthan", Compares<'<', ' '>},
                                  {"<=", Compares<'<', '='>},
                                  {"le", Compares<'<', '='>},
                                  {">", Compares<'>', ' '>},
                                  {"gt", Compares<'>', ' '>},
                                  {"greaterthan", Compares<'>', ' '>},
                                  {">=", Compares<'>', '='>},
                                  {"ge", Compares<'>', '='>}};

}  // namespace

std::span<const Named<Test>> Tests() { return kTests; }

}  // namespace quantfleet::jinja
