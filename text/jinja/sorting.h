// Values in order, as the filters sort, unique, min, max, groupby and dictsort have it.
#pragma once

#include <optional>
#include <vector>

#include "text/jinja/machine.h"
#include "text/jinja/value.h"

namespace quantfleet::jinja {

// What is compared of an element.
struct SortKey {
  bool case_sensitive = false;
  // "a.b", several with commas, or a number; not given, or None: the element itself.
  std::optional<Value> attribute{};
  std::optional<Value> otherwise{};  // for elements that lack it

  absl::StatusOr<Value> Of(Machine& machine, const Value& element) const;
};

// Equal ones stay in order. FAILED_PRECONDITION: two that cannot be compared.
absl::StatusOr<std::vector<Value>> Sorted(Machine& machine, std::vector<Value> elements,
                                          const SortKey& key, bool reversed);

}  // namespace quantfleet::jinja
