#include "text/jinja/tables.h"

#include "common/base/outside_text.h"

namespace quantfleet::jinja {
namespace {

template <typename F>
const Named<F>* Find(std::span<const Named<F>> table, std::string_view name) {
  for (const Named<F>& entry : table)
    if (entry.name == name) return &entry;
  return nullptr;
}

}  // namespace

const Named<Filter>* FindFilter(std::string_view name) {
  for (const auto& table :
       {TextFilters(), ListFilters(), SelectFilters(), WordFilters(), NumberFilters()})
    if (const Named<Filter>* found = Find(table, name)) return found;
  return nullptr;
}

const Named<Test>* FindTest(std::string_view name) { return Find(Tests(), name); }

const Named<Method>* FindMethod(const Value& of, std::string_view name) {
  if (of.IsText()) {
    const Named<Method>* found = Find(TextMethods(), name);
    return found != nullptr ? found : Find(CharacterMethods(), name);
  }
  if (of.if_dictionary() != nullptr) return Find(DictionaryMethods(), name);
  if (const Sequence* sequence = of.if_sequence())
    if (sequence->kind == Sequence::Kind::kList || sequence->kind == Sequence::Kind::kTuple)
      return Find(SequenceMethods(), name);
  if (of.kind() == Value::Kind::kLoop) return Find(LoopMethods(), name);
  return nullptr;
}

absl::StatusOr<Value> ApplyFilter(Machine& machine, std::string_view name, const Value& of,
                                  Arguments arguments) {
  const Named<Filter>* filter = FindFilter(name);
  if (filter == nullptr)
    return Unimplemented("the filter \"{}\" is not supported", Shown(name, 60));
  return filter->call(machine, of, std::move(arguments));
}

absl::StatusOr<bool> ApplyTest(Machine& machine, std::string_view name, const Value& of,
                               Arguments arguments) {
  const Named<Test>* test = FindTest(name);
  if (test == nullptr) return Unimplemented("the test \"{}\" is not supported", Shown(name, 60));
  return test->call(machine, of, std::move(arguments));
}

}  // namespace quantfleet::jinja
