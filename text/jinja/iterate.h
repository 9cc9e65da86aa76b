// What a for statement and filters go through: lists by element, texts by character, dictionaries
// by key, generators once.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "text/jinja/value.h"

namespace quantfleet::jinja {

// FAILED_PRECONDITION: it cannot be iterated.
absl::StatusOr<std::shared_ptr<Iterator>> Iterate(const Value& of);
// All elements.
absl::StatusOr<std::vector<Value>> Elements(Machine& machine, const Value& of);
// What len() says; nullopt: it says nothing.
std::optional<size_t> LengthOf(const Value& of);

// A generator that asks `next`: false, there are no more. `nesting`: of what it holds.
Value Generate(size_t nesting, std::function<absl::StatusOr<bool>(Machine&, Value&)> next);

}  // namespace quantfleet::jinja
