// Methods of dictionaries, lists and loops: those that change nothing.
#include <algorithm>

#include "text/jinja/arguments.h"
#include "text/jinja/loop.h"
#include "text/jinja/tables.h"

namespace quantfleet::jinja {
namespace {

using Result = absl::StatusOr<Value>;

Result GetItem(Machine&, const Value& of, Arguments arguments) {
  QF_ASSIGN_OR_RETURN(const auto given, Bind("get", std::move(arguments), {"key", "default"}, 1));
  const Value* found = of.dictionary().Find(*given[0]);
  return found != nullptr ? *found : given[1] ? *given[1] : Value(None{});
}

template <Sequence::Kind kView>
Result View(Machine& machine, const Value& of, Arguments arguments) {
  QF_RETURN_IF_ERROR(Bind("the method", std::move(arguments), {}, 0).status());
  const auto& entries = of.dictionary().entries;
  QF_RETURN_IF_ERROR(machine.budget().Take(entries.size()));
  std::vector<Value> items;
  items.reserve(entries.size());
  for (const auto& [key, value] : entries) {
    if (kView == Sequence::Kind::kItems) {
      QF_ASSIGN_OR_RETURN(Value pair, Value::Of(Sequence::Kind::kTuple, {key, value}));
      items.push_back(std::move(pair));
    } else {
      items.push_back(kView == Sequence::Kind::kKeys ? key : value);
    }
  }
  return Value::Of(kView, std::move(items));
}

Result CopyOf(Machine&, const Value& of, Arguments arguments) {
  QF_RETURN_IF_ERROR(Bind("copy", std::move(arguments), {}, 0).status());
  return of;  // neither can change
}

Result CountItems(Machine& machine, const Value& of, Arguments arguments) {
  QF_ASSIGN_OR_RETURN(const auto given, Bind("count", std::move(arguments), {"value"}, 1));
  QF_RETURN_IF_ERROR(machine.budget().Take(of.sequence().items.size()));
  return Value(static_cast<int64_t>(std::ranges::count_if(
      of.sequence().items, [&](const Value& item) { return Equal(item, *given[0]); })));
}

Result IndexOf(Machine& machine, const Value& of, Arguments arguments) {
  QF_ASSIGN_OR_RETURN(const auto given, Bind("index", std::move(arguments), {"value"}, 1));
  QF_RETURN_IF_ERROR(machine.budget().Take(of.sequence().items.size()));
  const std::vector<Value>& items = of.sequence().items;
  for (size_t i = 0; i < items.size(); ++i)
    if (Equal(items[i], *given[0])) return Value(static_cast<int64_t>(i));
  return FailedPrecondition("the value is not in the list");
}

Result LoopCycle(Machine&, const Value& of, Arguments arguments) {
  if (arguments.positional.empty()) return FailedPrecondition("cycle needs values");
  return of.loop().Cycle(arguments.positional);
}

Result LoopChanged(Machine&, const Value& of, Arguments arguments) {
  return Value(of.loop().Changed(arguments.positional));
}

constexpr Named<Method> kOfDictionaries[] = {{"get", GetItem},
                                             {"items", View<Sequence::Kind::kItems>},
                                             {"keys", View<Sequence::Kind::kKeys>},
                                             {"values", View<Sequence::Kind::kValues>},
                                             {"copy", CopyOf}};
constexpr Named<Method> kOfSequences[] = {
    {"count", CountItems}, {"index", IndexOf}, {"copy", CopyOf}};
constexpr Named<Method> kOfLoops[] = {{"cycle", LoopCycle}, {"changed", LoopChanged}};

}  // namespace

std::span<const Named<Method>> DictionaryMethods() { return kOfDictionaries; }
std::span<const Named<Method>> SequenceMethods() { return kOfSequences; }
std::span<const Named<Method>> LoopMethods() { return kOfLoops; }

}  // namespace quantfleet::jinja
