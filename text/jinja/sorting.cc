#include "text/jinja/sorting.h"

#include <algorithm>

#include "text/jinja/access.h"
#include "text/jinja/operators.h"
#include "text/jinja/text_operations.h"

namespace quantfleet::jinja {

absl::StatusOr<Value> SortKey::Of(Machine& machine, const Value& element) const {
  const auto folded = [this](Value value) {
    return case_sensitive || !value.IsText() ? value : Value(Lowered(value.text().marked));
  };
  const auto look_up = [&](const Value& path) -> absl::StatusOr<Value> {
    QF_ASSIGN_OR_RETURN(Value found, Path(machine, element, path));
    if (found.IsUndefined() && otherwise) return folded(*otherwise);
    return folded(std::move(found));
  };
  if (!attribute || attribute->IsNone()) return folded(element);
  if (!attribute->IsText() || attribute->bytes().find(',') == std::string_view::npos)
    return look_up(*attribute);
  std::vector<Value> keys;
  for (std::string_view rest = attribute->bytes();;) {
    const size_t comma = rest.find(',');
    QF_ASSIGN_OR_RETURN(Value part, look_up(Value::Plain(rest.substr(0, comma))));
    keys.push_back(std::move(part));
    if (comma == std::string_view::npos) break;
    rest.remove_prefix(comma + 1);
  }
  return Value::Of(Sequence::Kind::kList, std::move(keys));
}

absl::StatusOr<std::vector<Value>> Sorted(Machine& machine, std::vector<Value> elements,
                                          const SortKey& key, bool reversed) {
  QF_RETURN_IF_ERROR(machine.budget().Take(elements.size() * 20));
  std::vector<std::pair<Value, Value>> keyed;
  keyed.reserve(elements.size());
  for (Value& element : elements) {
    QF_ASSIGN_OR_RETURN(Value found, key.Of(machine, element));
    keyed.emplace_back(std::move(found), std::move(element));
  }
  // By merging: of an order that contradicts itself, as NaN makes it, something comes out all the
  // same.
  std::vector<std::pair<Value, Value>> merged(keyed.size());
  for (size_t width = 1; width < keyed.size(); width *= 2) {
    for (size_t begin = 0; begin < keyed.size(); begin += 2 * width) {
      const size_t middle = std::min(begin + width, keyed.size());
      const size_t end = std::min(begin + 2 * width, keyed.size());
      size_t left = begin, right = middle;
      for (size_t at = begin; at < end; ++at) {
        bool take_right = left == middle;
        if (left < middle && right < end) {
          const Value &a = keyed[left].first, &b = keyed[right].first;
          QF_ASSIGN_OR_RETURN(take_right, reversed ? Less(a, b) : Less(b, a));
        }
        merged[at] = std::move(keyed[take_right ? right++ : left++]);
      }
    }
    std::swap(keyed, merged);
  }
  elements.clear();
  for (auto& [found, element] : keyed) elements.push_back(std::move(element));
  return elements;
}

}  // namespace quantfleet::jinja
