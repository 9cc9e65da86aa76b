// Filters of lists and dictionaries.
#include <algorithm>

#include "common/base/utf8.h"
#include "text/jinja/access.h"
#include "text/jinja/arguments.h"
#include "text/jinja/iterate.h"
#include "text/jinja/sorting.h"
#include "text/jinja/tables.h"
#include "text/jinja/text_operations.h"

namespace quantfleet::jinja {
namespace {

using Result = absl::StatusOr<Value>;

Result Tuple(std::vector<Value> items) {
  return Value::Of(Sequence::Kind::kTuple, std::move(items));
}

Result LengthFilter(Machine&, const Value& of, Arguments arguments) {
  QF_RETURN_IF_ERROR(Bind("length", std::move(arguments), {}, 0).status());
  const std::optional<size_t> length = LengthOf(of);
  if (!length) return FailedPrecondition("a value of type {} has no length", TypeName(of));
  return Value(static_cast<int64_t>(*length));
}

Result ListFilter(Machine& machine, const Value& of, Arguments arguments) {
  QF_RETURN_IF_ERROR(Bind("list", std::move(arguments), {}, 0).status());
  QF_ASSIGN_OR_RETURN(std::vector<Value> elements, Elements(machine, of));
  return Value::Of(Sequence::Kind::kList, std::move(elements));
}

Result FirstFilter(Machine& machine, const Value& of, Arguments arguments) {
  QF_RETURN_IF_ERROR(Bind("first", std::move(arguments), {}, 0).status());
  QF_ASSIGN_OR_RETURN(const std::shared_ptr<Iterator> iterator, Iterate(of));
  Value first;
  QF_ASSIGN_OR_RETURN(const bool any, iterator->Next(machine, first));
  return any ? first : Value::Missing("No first item, sequence was empty.");
}

Result LastFilter(Machine& machine, const Value& of, Arguments arguments) {
  QF_RETURN_IF_ERROR(Bind("last", std::move(arguments), {}, 0).status());
  if (of.kind() == Value::Kind::kIterator)
    return FailedPrecondition("a generator cannot be read from its end");
  QF_ASSIGN_OR_RETURN(const std::vector<Value> elements, Elements(machine, of));
  return elements.empty() ? Value::Missing("No last item, sequence was empty.") : elements.back();
}

// One after the other, from a list that is there.
Value GenerateFrom(std::vector<Value> elements) {
  size_t nesting = 0;
  for (const Value& element : elements) nesting = std::max(nesting, element.nesting());
  return Generate(nesting,
                  [elements = std::move(elements), at = size_t{0}](
                      Machine& machine, Value& element) mutable -> absl::StatusOr<bool> {
                    QF_RETURN_IF_ERROR(machine.budget().Take(1));
                    if (at >= elements.size()) return false;
                    element = elements[at++];
                    return true;
                  });
}

Result ReverseFilter(Machine& machine, const Value& of, Arguments arguments) {
  QF_RETURN_IF_ERROR(Bind("reverse", std::move(arguments), {}, 0).status());
  if (of.IsText()) {
    const Value none{None{}};
    return SliceOf(machine, of, none, none, Value(int64_t{-1}));
  }
  QF_ASSIGN_OR_RETURN(std::vector<Value> elements, Elements(machine, of));
  std::ranges::reverse(elements);
  return GenerateFrom(std::move(elements));
}

Result ItemsFilter(Machine& machine, const Value& of, Arguments arguments) {
  QF_RETURN_IF_ERROR(Bind("items", std::move(arguments), {}, 0).status());
  std::vector<Value> pairs;
  if (!of.IsUndefined()) {
    const Dictionary* dictionary = of.if_dictionary();
    if (dictionary == nullptr)
      return FailedPrecondition("items needs a dict, not {}", TypeName(of));
    QF_RETURN_IF_ERROR(machine.budget().Take(dictionary->entries.size()));
    for (const auto& [key, value] : dictionary->entries) {
      QF_ASSIGN_OR_RETURN(Value pair, Tuple({key, value}));
      pairs.push_back(std::move(pair));
    }
  }
  return GenerateFrom(std::move(pairs));
}

Result SortFilter(Machine& machine, const Value& of, Arguments arguments) {
  QF_ASSIGN_OR_RETURN(const auto given, Bind("sort", std::move(arguments),
                                             {"reverse", "case_sensitive", "attribute"}, 0));
  QF_ASSIGN_OR_RETURN(std::vector<Value> elements, Elements(machine, of));
  const SortKey key{TruthOr(given[1], false), given[2]};
  QF_ASSIGN_OR_RETURN(elements,
                      Sorted(machine, std::move(elements), key, TruthOr(given[0], false)));
  return Value::Of(Sequence::Kind::kList, std::move(elements));
}

Result DictSortFilter(Machine& machine, const Value& of, Arguments arguments) {
  QF_ASSIGN_OR_RETURN(const auto given, Bind("dictsort", std::move(arguments),
                                             {"case_sensitive", "by", "reverse"}, 0));
  const std::string_view by = given[1] && given[1]->IsText() ? given[1]->bytes() : "key";
  if (by != "key" && by != "value")
    return FailedPrecondition("dictsort sorts by \"key\" or \"value\"");
  const Dictionary* dictionary = of.if_dictionary();
  if (dictionary == nullptr) return WrongType("dictsort", "a dict", of);
  std::vector<Value> pairs;
  for (const auto& [key, value] : dictionary->entries) {
    QF_ASSIGN_OR_RETURN(Value pair, Tuple({key, value}));
    pairs.push_back(std::move(pair));
  }
  const SortKey key{TruthOr(given[0], false), Value(int64_t{by == "key" ? 0 : 1})};
  QF_ASSIGN_OR_RETURN(pairs, Sorted(machine, std::move(pairs), key, TruthOr(given[2], false)));
  return Value::Of(Sequence::Kind::kList, std::move(pairs));
}

Result UniqueFilter(Machine& machine, const Value& of, Arguments arguments) {
  QF_ASSIGN_OR_RETURN(const auto given,
                      Bind("unique", std::move(arguments), {"case_sensitive", "attribute"}, 0));
  const SortKey key{TruthOr(given[0], false), given[1]};
  QF_ASSIGN_OR_RETURN(const std::vector<Value> elements, Elements(machine, of));
  std::vector<Value> seen, kept;
  for (const Value& element : elements) {
    QF_ASSIGN_OR_RETURN(Value found, key.Of(machine, element));
    QF_RETURN_IF_ERROR(machine.budget().Take(seen.size()));
    if (std::ranges::any_of(seen, [&](const Value& one) { return Equal(one, found); })) continue;
    seen.push_back(std::move(found));
    kept.push_back(element);
  }
  return GenerateFrom(std::move(kept));
}

template <bool kMost>
Result ExtremeFilter(Machine& machine, const Value& of, Arguments arguments) {
  QF_ASSIGN_OR_RETURN(const auto given, Bind(kMost ? "max" : "min", std::move(arguments),
                                             {"case_sensitive", "attribute"}, 0));
  const SortKey key{TruthOr(given[0], false), given[1]};
  QF_ASSIGN_OR_RETURN(std::vector<Value> elements, Elements(machine, of));
  if (elements.empty()) return Value::Missing("No aggregated item, sequence was empty.");
  QF_ASSIGN_OR_RETURN(elements, Sorted(machine, std::move(elements), key, kMost));
  return elements.front();
}

Result BatchFilter(Machine& machine, const Value& of, Arguments arguments) {
  QF_ASSIGN_OR_RETURN(const auto given,
                      Bind("batch", std::move(arguments), {"linecount", "fill_with"}, 1));
  QF_ASSIGN_OR_RETURN(const int64_t size, WholeOr("batch", given[0], 1));
  if (size < 1 || size > 100'000) return FailedPrecondition("batch cannot make lists of {}", size);
  QF_ASSIGN_OR_RETURN(const std::vector<Value> elements, Elements(machine, of));
  std::vector<Value> batches;
  for (size_t at = 0; at < elements.size(); at += static_cast<size_t>(size)) {
    const size_t end = std::min(elements.size(), at + static_cast<size_t>(size));
    std::vector<Value> batch(elements.begin() + static_cast<ptrdiff_t>(at),
                             elements.begin() + static_cast<ptrdiff_t>(end));
    if (!IsNothing(given[1])) batch.resize(static_cast<size_t>(size), *given[1]);
    QF_ASSIGN_OR_RETURN(Value one, Value::Of(Sequence::Kind::kList, std::move(batch)));
    batches.push_back(std::move(one));
  }
  return GenerateFrom(std::move(batches));
}

Result SliceFilter(Machine& machine, const Value& of, Arguments arguments) {
  QF_ASSIGN_OR_RETURN(const auto given,
                      Bind("slice", std::move(arguments), {"slices", "fill_with"}, 1));
  QF_ASSIGN_OR_RETURN(const int64_t count, WholeOr("slice", given[0], 1));
  if (count < 1 || count > 100'000) return FailedPrecondition("slice cannot make {} lists", count);
  QF_RETURN_IF_ERROR(machine.budget().Take(static_cast<uint64_t>(count)));
  QF_ASSIGN_OR_RETURN(const std::vector<Value> elements, Elements(machine, of));
  const size_t each = elements.size() / static_cast<size_t>(count);
  const size_t longer = elements.size() % static_cast<size_t>(count);
  std::vector<Value> slices;
  for (size_t i = 0, at = 0; i < static_cast<size_t>(count); ++i) {
    const size_t size = each + (i < longer ? 1 : 0);
    std::vector<Value> slice(elements.begin() + static_cast<ptrdiff_t>(at),
                             elements.begin() + static_cast<ptrdiff_t>(at + size));
    at += size;
    if (!IsNothing(given[1]) && i >= longer) slice.push_back(*given[1]);
    QF_ASSIGN_OR_RETURN(Value one, Value::Of(Sequence::Kind::kList, std::move(slice)));
    slices.push_back(std::move(one));
  }
  return GenerateFrom(std::move(slices));
}

Result GroupByFilter(Machine& machine, const Value& of, Arguments arguments) {
  QF_ASSIGN_OR_RETURN(const auto given, Bind("groupby", std::move(arguments),
                                             {"attribute", "default", "case_sensitive"}, 1));
  const SortKey key{TruthOr(given[2], false), given[0], given[1]};
  const SortKey exact{true, given[0], given[1]};
  QF_ASSIGN_OR_RETURN(std::vector<Value> elements, Elements(machine, of));
  QF_ASSIGN_OR_RETURN(elements, Sorted(machine, std::move(elements), key, false));
  std::vector<Value> groups;
  for (size_t at = 0; at < elements.size();) {
    QF_ASSIGN_OR_RETURN(const Value name, key.Of(machine, elements[at]));
    QF_ASSIGN_OR_RETURN(const Value shown, exact.Of(machine, elements[at]));
    std::vector<Value> members;
    while (at < elements.size()) {
      QF_ASSIGN_OR_RETURN(const Value other, key.Of(machine, elements[at]));
      if (!Equal(name, other)) break;
      members.push_back(elements[at++]);
    }
    QF_ASSIGN_OR_RETURN(Value list, Value::Of(Sequence::Kind::kList, std::move(members)));
    QF_ASSIGN_OR_RETURN(Value group, Tuple({shown, std::move(list)}));
    groups.push_back(std::move(group));
  }
  return Value::Of(Sequence::Kind::kList, std::move(groups));
}

constexpr Named<Filter> kListFilters[] = {
    {"length", LengthFilter}, {"count", LengthFilter},       {"list", ListFilter},
    {"first", FirstFilter},   {"last", LastFilter},          {"reverse", ReverseFilter},
    {"items", ItemsFilter},   {"sort", SortFilter},          {"dictsort", DictSortFilter},
    {"unique", UniqueFilter}, {"min", ExtremeFilter<false>}, {"max", ExtremeFilter<true>},
    {"batch", BatchFilter},   {"slice", SliceFilter},        {"groupby", GroupByFilter}};

}  // namespace

std::span<const Named<Filter>> ListFilters() { return kListFilters; }

}  // namespace quantfleet::jinja
