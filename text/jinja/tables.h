// What templates can call, by name: filters, tests, functions, and the methods of values. One
// subject per file; each file lists what it has. All are pure but for the machine's budget; errors
// are FAILED_PRECONDITION, and INVALID_ARGUMENT from raise_exception alone.
#pragma once

#include <span>
#include <string_view>

#include "text/jinja/machine.h"
#include "text/jinja/value.h"

namespace quantfleet::jinja {

using Filter = absl::StatusOr<Value> (*)(Machine& machine, const Value& of, Arguments arguments);
using Test = absl::StatusOr<bool> (*)(Machine& machine, const Value& of, Arguments arguments);
using Method = Filter;
using Function = absl::StatusOr<Value> (*)(Machine& machine, Arguments arguments);

template <typename F>
struct Named {
  std::string_view name;
  F call;
};

std::span<const Named<Filter>> TextFilters();        // text_filters.cc
std::span<const Named<Filter>> WordFilters();        // word_filters.cc
std::span<const Named<Filter>> NumberFilters();      // number_filters.cc
std::span<const Named<Filter>> ListFilters();        // list_filters.cc
std::span<const Named<Filter>> SelectFilters();      // select_filters.cc
std::span<const Named<Test>> Tests();                // tests.cc
std::span<const Named<Function>> Functions();        // functions.cc
std::span<const Named<Method>> TextMethods();        // text_methods.cc
std::span<const Named<Method>> CharacterMethods();   // character_methods.cc: also of texts
std::span<const Named<Method>> DictionaryMethods();  // collection_methods.cc
std::span<const Named<Method>> SequenceMethods();    // collection_methods.cc
std::span<const Named<Method>> LoopMethods();        // collection_methods.cc

// nullptr: there is none.
const Named<Filter>* FindFilter(std::string_view name);
const Named<Test>* FindTest(std::string_view name);
const Named<Method>* FindMethod(const Value& of, std::string_view name);

// UNIMPLEMENTED: there is no such filter or test.
absl::StatusOr<Value> ApplyFilter(Machine& machine, std::string_view name, const Value& of,
                                  Arguments arguments);
absl::StatusOr<bool> ApplyTest(Machine& machine, std::string_view name, const Value& of,
                               Arguments arguments);

}  // namespace quantfleet::jinja
