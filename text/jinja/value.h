// What a template computes with: Python's values as far as templates meet them. Lists and
// dictionaries never change once made (the sandbox is immutable); namespaces do. Copies share what
// they hold. Not thread-safe while a rendering runs; constants in a template are only read.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "common/base/status.h"
#include "text/jinja/budget.h"
#include "text/jinja/marked_text.h"

namespace quantfleet::jinja {

class Machine;
class Value;

// Stands for what is not there: empty as a text or a list, an error in everything else.
struct Undefined {
  std::shared_ptr<const std::string> why;
};
struct None {};

struct Text {
  MarkedText marked;
  bool markup = false;  // `safe`: texts that are added to it are escaped
};

struct Sequence {
  enum class Kind { kList, kTuple, kKeys, kValues, kItems, kRange } kind = Kind::kList;
  std::vector<Value> items;
  size_t nesting = 1, weight = 1;
};

struct Dictionary {
  std::vector<std::pair<Value, Value>> entries;  // in order; keys differ
  size_t nesting = 1, weight = 1;

  const Value* Find(const Value& key) const;
  const Value* Find(std::string_view key) const;
};

struct Namespace {
  std::vector<std::pair<std::string, Value>> attributes;

  const Value* Find(std::string_view name) const;
  void Set(std::string_view name, Value value);
};

struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

// A macro, a function, or a method and the value that it belongs to.
class Callable {
 public:
  virtual ~Callable() = default;
  virtual absl::StatusOr<Value> Call(Machine& machine, Arguments arguments) const = 0;
  virtual size_t nesting() const { return 1; }
};

// What gives its elements one after the other, once: a generator of Python.
class Iterator {
 public:
  virtual ~Iterator() = default;
  // False: there are no more.
  virtual absl::StatusOr<bool> Next(Machine& machine, Value& element) = 0;
  virtual size_t nesting() const { return 1; }
};

class Loop;

class Value {
 public:
  // In the variant's order.
  enum class Kind {
    kUndefined,
    kNone,
    kBool,
    kInteger,
    kFloat,
    kText,
    kSequence,
    kDictionary,
    kNamespace,
    kCallable,
    kIterator,
    kLoop
  };

  Value() = default;  // undefined
  explicit Value(None none) : held_(none) {}
  explicit Value(bool truth) : held_(truth) {}
  explicit Value(int64_t number) : held_(number) {}
  explicit Value(double number) : held_(number) {}
  explicit Value(Text text) : held_(std::make_shared<const Text>(std::move(text))) {}
  explicit Value(MarkedText text) : Value(Text{std::move(text)}) {}
  explicit Value(Undefined undefined) : held_(std::move(undefined)) {}
  explicit Value(std::shared_ptr<Namespace> names) : held_(std::move(names)) {}
  explicit Value(std::shared_ptr<const Callable> callable) : held_(std::move(callable)) {}
  explicit Value(std::shared_ptr<Iterator> iterator) : held_(std::move(iterator)) {}
  explicit Value(std::shared_ptr<Loop> loop) : held_(std::move(loop)) {}
  // The template's own words.
  static Value Plain(std::string_view text) { return Value(MarkedText{std::string(text)}); }
  static Value Missing(std::string why) {
    return Value(Undefined{std::make_shared<const std::string>(std::move(why))});
  }
  // RESOURCE_EXHAUSTED: lists in lists in lists, or the same list in them so often that comparing
  // or printing it would not end.
  static absl::StatusOr<Value> Of(Sequence::Kind kind, std::vector<Value> items);
  static absl::StatusOr<Value> Of(std::vector<std::pair<Value, Value>> entries);

  Kind kind() const { return static_cast<Kind>(held_.index()); }
  bool IsUndefined() const { return kind() == Kind::kUndefined; }
  bool IsNone() const { return kind() == Kind::kNone; }
  bool IsText() const { return kind() == Kind::kText; }
  // A bool is a number, as in Python.
  bool IsWhole() const { return kind() == Kind::kBool || kind() == Kind::kInteger; }
  bool IsNumber() const { return IsWhole() || kind() == Kind::kFloat; }

  // Only of that kind.
  const Undefined& undefined() const { return std::get<Undefined>(held_); }
  bool truth() const { return std::get<bool>(held_); }
  double real() const { return std::get<double>(held_); }
  const Text& text() const { return *std::get<TextPointer>(held_); }
  std::string_view bytes() const { return text().marked.bytes; }
  int64_t whole() const { return kind() == Kind::kBool ? truth() : std::get<int64_t>(held_); }
  double number() const { return IsWhole() ? static_cast<double>(whole()) : real(); }
  const Sequence& sequence() const { return *std::get<SequencePointer>(held_); }
  const Dictionary& dictionary() const { return *std::get<DictionaryPointer>(held_); }
  Namespace& names() const { return *std::get<std::shared_ptr<Namespace>>(held_); }
  const Callable& callable() const { return *std::get<std::shared_ptr<const Callable>>(held_); }
  const std::shared_ptr<Iterator>& iterator() const {
    return std::get<std::shared_ptr<Iterator>>(held_);
  }
  Loop& loop() const { return *std::get<std::shared_ptr<Loop>>(held_); }
  // nullptr: of another kind.
  const Sequence* if_sequence() const {
    const auto* held = std::get_if<SequencePointer>(&held_);
    return held == nullptr ? nullptr : held->get();
  }
  const Dictionary* if_dictionary() const {
    const auto* held = std::get_if<DictionaryPointer>(&held_);
    return held == nullptr ? nullptr : held->get();
  }

  bool IsTrue() const;
  size_t nesting() const;
  // How much there is to print or compare, at least: elements, and a part of each text's bytes.
  size_t weight() const;
  // The same object, which is Python's `is`.
  bool IsSame(const Value& other) const;

 private:
  using TextPointer = std::shared_ptr<const Text>;
  using SequencePointer = std::shared_ptr<const Sequence>;
  using DictionaryPointer = std::shared_ptr<const Dictionary>;
  std::variant<Undefined, None, bool, int64_t, double, TextPointer, SequencePointer,
               DictionaryPointer, std::shared_ptr<Namespace>, std::shared_ptr<const Callable>,
               std::shared_ptr<Iterator>, std::shared_ptr<Loop>>
      held_;
};

// Sets `key` in entries that are becoming a dictionary. FAILED_PRECONDITION: it can be no key.
absl::Status AddEntry(Value key, Value value, std::vector<std::pair<Value, Value>>& entries);
// Python's `==`; never an error. Bounded by the values' nesting.
bool Equal(const Value& a, const Value& b);
// Python's name of its type ("str"), for errors.
std::string_view TypeName(const Value& value);

}  // namespace quantfleet::jinja
