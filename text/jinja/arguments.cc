#include "text/jinja/arguments.h"

#include <algorithm>

namespace quantfleet::jinja {

absl::StatusOr<std::vector<std::optional<Value>>> Bind(
    std::string_view function, Arguments arguments, std::initializer_list<std::string_view> names,
    size_t required) {
  std::vector<std::optional<Value>> bound(names.size());
  if (arguments.positional.size() > names.size())
    return FailedPrecondition("{} takes at most {} arguments, {} are given", function, names.size(),
                              arguments.positional.size());
  for (size_t i = 0; i < arguments.positional.size(); ++i)
    bound[i] = std::move(arguments.positional[i]);
  for (auto& [name, value] : arguments.named) {
    const auto* const found = std::ranges::find(names, name);
    if (found == names.end())
      return FailedPrecondition("{} has no argument \"{}\"", function, name);
    std::optional<Value>& place = bound[static_cast<size_t>(found - names.begin())];
    if (place) return FailedPrecondition("{} is given the argument \"{}\" twice", function, name);
    place = std::move(value);
  }
  for (size_t i = 0; i < required; ++i)
    if (!bound[i])
      return FailedPrecondition("{} needs the argument \"{}\"", function, *(names.begin() + i));
  return bound;
}

absl::Status WrongType(std::string_view function, std::string_view wanted, const Value& found) {
  if (found.IsUndefined() && found.undefined().why)
    return FailedPrecondition("{}", *found.undefined().why);
  return FailedPrecondition("{} needs {}, not {}", function, wanted, TypeName(found));
}

absl::StatusOr<int64_t> WholeOr(std::string_view function, const std::optional<Value>& value,
                                int64_t otherwise) {
  if (!value) return otherwise;
  if (!value->IsWhole()) return WrongType(function, "a whole number", *value);
  return value->whole();
}

}  // namespace quantfleet::jinja
