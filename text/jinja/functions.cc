// The functions that a template can call by name: Jinja's own, and the two that transformers adds.
#include <fmt/format.h>

#include <ctime>

#include "text/jinja/arguments.h"
#include "text/jinja/iterate.h"
#include "text/jinja/python_text.h"
#include "text/jinja/tables.h"

namespace quantfleet::jinja {
namespace {

using Result = absl::StatusOr<Value>;

// As the sandbox has it.
constexpr size_t kMaxRange = 100'000;

Result Range(Machine& machine, Arguments arguments) {
  QF_ASSIGN_OR_RETURN(const auto given,
                      Bind("range", std::move(arguments), {"start", "stop", "step"}, 1));
  QF_ASSIGN_OR_RETURN(const int64_t first, WholeOr("range", given[0], 0));
  QF_ASSIGN_OR_RETURN(const int64_t second, WholeOr("range", given[1], 0));
  QF_ASSIGN_OR_RETURN(const int64_t step, WholeOr("range", given[2], 1));
  const int64_t from = given[1] ? first : 0, to = given[1] ? second : first;
  if (step == 0) return FailedPrecondition("range's step cannot be zero");
  std::vector<Value> numbers;
  for (int64_t at = from; step > 0 ? at < to : at > to;) {
    if (numbers.size() >= kMaxRange)
      return FailedPrecondition("range is limited to {} numbers", kMaxRange);
    numbers.emplace_back(at);
    if (__builtin_add_overflow(at, step, &at)) break;
  }
  QF_RETURN_IF_ERROR(machine.budget().Take(numbers.size()));
  return Value::Of(Sequence::Kind::kRange, std::move(numbers));
}

// What dict(...) makes.
absl::StatusOr<std::vector<std::pair<Value, Value>>> Entries(Machine& machine,
                                                             Arguments arguments) {
  if (arguments.positional.size() > 1)
    return FailedPrecondition("dict takes at most one argument without a name");
  std::vector<std::pair<Value, Value>> entries;
  for (const Value& from : arguments.positional) {
    if (const Dictionary* dictionary = from.if_dictionary()) {
      entries = dictionary->entries;
      continue;
    }
    QF_ASSIGN_OR_RETURN(const std::vector<Value> pairs, Elements(machine, from));
    for (const Value& pair : pairs) {
      QF_ASSIGN_OR_RETURN(std::vector<Value> two, Elements(machine, pair));
      if (two.size() != 2) return FailedPrecondition("dict needs pairs");
      QF_RETURN_IF_ERROR(machine.budget().Take(entries.size() / 8));
      QF_RETURN_IF_ERROR(AddEntry(std::move(two[0]), std::move(two[1]), entries));
    }
  }
  for (auto& [name, value] : arguments.named)
    QF_RETURN_IF_ERROR(AddEntry(Value::Plain(name), std::move(value), entries));
  return entries;
}

Result Dict(Machine& machine, Arguments arguments) {
  QF_ASSIGN_OR_RETURN(auto entries, Entries(machine, std::move(arguments)));
  return Value::Of(std::move(entries));
}

Result MakeNamespace(Machine& machine, Arguments arguments) {
  QF_ASSIGN_OR_RETURN(const auto entries, Entries(machine, std::move(arguments)));
  QF_ASSIGN_OR_RETURN(Value made, machine.MakeNamespace());
  for (const auto& [key, value] : entries) made.names().Set(ToText(key).bytes, value);
  return made;
}

Result RaiseException(Machine&, Arguments arguments) {
  QF_ASSIGN_OR_RETURN(const auto given,
                      Bind("raise_exception", std::move(arguments), {"message"}, 1));
  return InvalidArgument("{}", ToText(*given[0]).bytes);
}

// The local time, as datetime.now() tells it: without a zone, and here without fractions.
Result StrftimeNow(Machine& machine, Arguments arguments) {
  QF_ASSIGN_OR_RETURN(const auto given, Bind("strftime_now", std::move(arguments), {"format"}, 1));
  if (!given[0]->IsText()) return WrongType("strftime_now", "a text", *given[0]);
  const auto now = static_cast<std::time_t>(machine.now());
  std::tm local{};
  if (localtime_r(&now, &local) == nullptr) return FailedPrecondition("the clock is wrong");
  std::string format;
  const std::string_view asked = given[0]->bytes();
  if (asked.size() > 1000) return FailedPrecondition("the format of the date is too long");
  for (size_t i = 0; i < asked.size(); ++i) {
    const char next = asked[i] == '%' && i + 1 < asked.size() ? asked[i + 1] : '\0';
    if (next == '\0') {
      format += asked[i];
      continue;
    }
    ++i;
    if (next == 'f')
      format += "000000";
    else if (next != 'z' && next != 'Z')
      format += {'%', next};
  }
  // A byte more, so that an empty result is told from one that does not fit.
  format += ' ';
  std::string text(16'384, '\0');
  text.resize(std::strftime(text.data(), text.size(), format.c_str(), &local));
  if (text.empty()) return FailedPrecondition("the format of the date gives no text");
  text.pop_back();
  return machine.Made(MarkedText{std::move(text)});
}

constexpr Named<Function> kFunctions[] = {{"range", Range},
                                          {"dict", Dict},
                                          {"namespace", MakeNamespace},
                                          {"raise_exception", RaiseException},
                                          {"strftime_now", StrftimeNow}};

}  // namespace

std::span<const Named<Function>> Functions() { return kFunctions; }

}  // namespace quantfleet::jinja
