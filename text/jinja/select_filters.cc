// Filters that go through a list by other filters and tests: map, select and the like. They are
// generators: an element is looked at when it is asked for.
#include <algorithm>

#include "text/jinja/access.h"
#include "text/jinja/arguments.h"
#include "text/jinja/iterate.h"
#include "text/jinja/tables.h"

namespace quantfleet::jinja {
namespace {

using Result = absl::StatusOr<Value>;

size_t NestingOf(const Value& of, const Arguments& arguments) {
  size_t nesting = of.nesting();
  for (const Value& one : arguments.positional) nesting = std::max(nesting, one.nesting());
  for (const auto& [name, one] : arguments.named) nesting = std::max(nesting, one.nesting());
  return nesting;
}

absl::Status CheckNesting(size_t nesting) {
  return nesting < kMaxNesting
             ? absl::OkStatus()
             : ResourceExhausted("the template nests values more than {} deep", kMaxNesting);
}

std::optional<Value> TakeNamed(Arguments& arguments, std::string_view name) {
  const auto found = std::ranges::find(
      arguments.named, name, [](const auto& one) -> std::string_view { return one.first; });
  if (found == arguments.named.end()) return std::nullopt;
  Value value = std::move(found->second);
  arguments.named.erase(found);
  return value;
}

// The name that comes first of the positional arguments.
absl::StatusOr<std::string> TakeName(std::string_view filter, Arguments& arguments) {
  if (arguments.positional.empty() || !arguments.positional[0].IsText())
    return FailedPrecondition("{} needs the name of a filter or test", filter);
  std::string name(arguments.positional[0].bytes());
  arguments.positional.erase(arguments.positional.begin());
  return name;
}

Result MapFilter(Machine&, const Value& of, Arguments arguments) {
  const size_t nesting = NestingOf(of, arguments);
  QF_RETURN_IF_ERROR(CheckNesting(nesting));
  // Nothing is asked of what is empty, None too.
  QF_ASSIGN_OR_RETURN(std::shared_ptr<Iterator> all, Iterate(of.IsTrue() ? of : Value()));
  if (arguments.positional.empty()) {
    std::optional<Value> attribute = TakeNamed(arguments, "attribute");
    std::optional<Value> otherwise = TakeNamed(arguments, "default");
    if (!attribute || !arguments.named.empty())
      return FailedPrecondition("map needs the name of a filter, or an attribute");
    return Generate(
        nesting,
        [all = std::move(all), attribute = *std::move(attribute), otherwise = std::move(otherwise)](
            Machine& machine, Value& element) -> absl::StatusOr<bool> {
          QF_ASSIGN_OR_RETURN(const bool more, all->Next(machine, element));
          if (!more) return false;
          QF_ASSIGN_OR_RETURN(element, Path(machine, element, attribute));
          if (element.IsUndefined() && otherwise) element = *otherwise;
          return true;
        });
  }
  QF_ASSIGN_OR_RETURN(std::string name, TakeName("map", arguments));
  return Generate(nesting,
                  [all = std::move(all), name = std::move(name), arguments = std::move(arguments)](
                      Machine& machine, Value& element) -> absl::StatusOr<bool> {
                    QF_ASSIGN_OR_RETURN(const bool more, all->Next(machine, element));
                    if (!more) return false;
                    QF_ASSIGN_OR_RETURN(element, ApplyFilter(machine, name, element, arguments));
                    return true;
                  });
}

// Elements for which a test of them, or of their attribute, is kWanted. Without a test: is true.
template <bool kWanted, bool kByAttribute>
Result Choose(Machine&, const Value& of, Arguments arguments) {
  const size_t nesting = NestingOf(of, arguments);
  QF_RETURN_IF_ERROR(CheckNesting(nesting));
  // Nothing is asked of what is empty, None too.
  QF_ASSIGN_OR_RETURN(std::shared_ptr<Iterator> all, Iterate(of.IsTrue() ? of : Value()));
  std::optional<Value> attribute;
  if (kByAttribute) {
    if (arguments.positional.empty())
      return FailedPrecondition("selectattr and rejectattr need an attribute");
    attribute = arguments.positional[0];
    arguments.positional.erase(arguments.positional.begin());
  }
  std::string test;
  if (!arguments.positional.empty()) {
    QF_ASSIGN_OR_RETURN(test, TakeName("select", arguments));
  }
  return Generate(
      nesting,
      [all = std::move(all), attribute = std::move(attribute), test = std::move(test),
       arguments = std::move(arguments)](Machine& machine, Value& element) -> absl::StatusOr<bool> {
        while (true) {
          QF_ASSIGN_OR_RETURN(const bool more, all->Next(machine, element));
          if (!more) return false;
          Value part = element;
          if (attribute) {
            QF_ASSIGN_OR_RETURN(part, Path(machine, element, *attribute));
          }
          bool is = part.IsTrue();
          if (!test.empty()) {
            QF_ASSIGN_OR_RETURN(is, ApplyTest(machine, test, part, arguments));
          }
          if (is == kWanted) return true;
        }
      });
}

Result AttrFilter(Machine& machine, const Value& of, Arguments arguments) {
  QF_ASSIGN_OR_RETURN(const auto given, Bind("attr", std::move(arguments), {"name"}, 1));
  if (!given[0]->IsText()) return WrongType("attr", "a text", *given[0]);
  // Never an element: a dictionary has none but its methods.
  if (of.if_dictionary() != nullptr && FindMethod(of, given[0]->bytes()) == nullptr)
    return Value::Missing("'dict object' has no such attribute");
  return Attribute(machine, of, given[0]->bytes());
}

constexpr Named<Filter> kSelectFilters[] = {{"map", MapFilter},
                                            {"select", Choose<true, false>},
                                            {"reject", Choose<false, false>},
                                            {"selectattr", Choose<true, true>},
                                            {"rejectattr", Choose<false, true>},
                                            {"attr", AttrFilter}};

}  // namespace

std::span<const Named<Filter>> SelectFilters() { return kSelectFilters; }

}  // namespace quantfleet::jinja
