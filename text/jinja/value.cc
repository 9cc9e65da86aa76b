#include "text/jinja/value.h"

#include <algorithm>
#include <ranges>

#include "text/jinja/loop.h"

namespace quantfleet::jinja {
namespace {

absl::Status Check(size_t nesting, size_t weight) {
  if (nesting > kMaxNesting)
    return ResourceExhausted("the template nests values more than {} deep", kMaxNesting);
  if (weight > kMaxWeight)
    return ResourceExhausted("the template makes a list with more than {} elements in all",
                             kMaxWeight);
  return absl::OkStatus();
}

bool SameSequence(const Sequence& a, const Sequence& b) {
  const auto kind = [](const Sequence& s) { return s.kind; };
  if (kind(a) != kind(b)) return false;
  return std::ranges::equal(a.items, b.items, Equal);
}

bool SameDictionary(const Dictionary& a, const Dictionary& b) {
  if (a.entries.size() != b.entries.size()) return false;
  return std::ranges::all_of(a.entries, [&](const auto& entry) {
    const Value* other = b.Find(entry.first);
    return other != nullptr && Equal(entry.second, *other);
  });
}

}  // namespace

absl::StatusOr<Value> Value::Of(Sequence::Kind kind, std::vector<Value> items) {
  auto made = std::make_shared<Sequence>(Sequence{kind, std::move(items)});
  for (const Value& item : made->items) {
    made->nesting = std::max(made->nesting, item.nesting() + 1);
    made->weight += item.weight();
  }
  QF_RETURN_IF_ERROR(Check(made->nesting, made->weight));
  Value value;
  value.held_ = SequencePointer(std::move(made));
  return value;
}

absl::StatusOr<Value> Value::Of(std::vector<std::pair<Value, Value>> entries) {
  auto made = std::make_shared<Dictionary>();
  made->entries = std::move(entries);
  for (const auto& [key, value] : made->entries) {
    made->nesting = std::max({made->nesting, key.nesting() + 1, value.nesting() + 1});
    made->weight += key.weight() + value.weight();
  }
  QF_RETURN_IF_ERROR(Check(made->nesting, made->weight));
  Value value;
  value.held_ = DictionaryPointer(std::move(made));
  return value;
}

const Value* Dictionary::Find(const Value& key) const {
  if (key.IsText()) return Find(key.bytes());
  for (const auto& [other, value] : entries)
    if (Equal(other, key)) return &value;
  return nullptr;
}

const Value* Dictionary::Find(std::string_view key) const {
  for (const auto& [other, value] : entries)
    if (other.IsText() && other.bytes() == key) return &value;
  return nullptr;
}

const Value* Namespace::Find(std::string_view name) const {
  for (const auto& [other, value] : attributes)
    if (other == name) return &value;
  return nullptr;
}

void Namespace::Set(std::string_view name, Value value) {
  for (auto& [other, old] : attributes)
    if (other == name) {
      old = std::move(value);
      return;
    }
  attributes.emplace_back(name, std::move(value));
}

bool Value::IsTrue() const {
  switch (kind()) {
    case Kind::kUndefined:
    case Kind::kNone:
      return false;
    case Kind::kBool:
    case Kind::kInteger:
      return whole() != 0;
    case Kind::kFloat:
      return real() != 0;
    case Kind::kText:
      return !bytes().empty();
    case Kind::kSequence:
      return !sequence().items.empty();
    case Kind::kDictionary:
      return !dictionary().entries.empty();
    case Kind::kNamespace:
    case Kind::kCallable:
    case Kind::kIterator:
    case Kind::kLoop:
      break;
  }
  return true;
}

size_t Value::nesting() const {
  switch (kind()) {
    case Kind::kSequence:
      return sequence().nesting;
    case Kind::kDictionary:
      return dictionary().nesting;
    case Kind::kCallable:
      return callable().nesting();
    case Kind::kIterator:
      return iterator()->nesting();
    default:
      return 0;
  }
}

size_t Value::weight() const {
  switch (kind()) {
    case Kind::kText:
      return 1 + bytes().size() / 16;
    case Kind::kSequence:
      return sequence().weight;
    case Kind::kDictionary:
      return dictionary().weight;
    default:
      return 1;
  }
}

bool Value::IsSame(const Value& other) const {
  if (kind() != other.kind()) return false;
  switch (kind()) {
    case Kind::kUndefined:
      return undefined().why == other.undefined().why;
    case Kind::kNone:
      return true;
    case Kind::kBool:
    case Kind::kInteger:
      return whole() == other.whole();
    case Kind::kFloat:
      return real() == other.real();
    case Kind::kText:
      return bytes() == other.bytes();
    case Kind::kSequence:
      return &sequence() == &other.sequence();
    case Kind::kDictionary:
      return &dictionary() == &other.dictionary();
    case Kind::kNamespace:
      return &names() == &other.names();
    case Kind::kCallable:
      return &callable() == &other.callable();
    case Kind::kIterator:
      return iterator() == other.iterator();
    case Kind::kLoop:
      break;
  }
  return &loop() == &other.loop();
}

bool Equal(const Value& a, const Value& b) {
  if (a.IsWhole() && b.IsWhole()) return a.whole() == b.whole();
  if (a.IsNumber() && b.IsNumber()) return a.number() == b.number();
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Value::Kind::kUndefined:
      return true;
    case Value::Kind::kSequence:
      return SameSequence(a.sequence(), b.sequence());
    case Value::Kind::kDictionary:
      return SameDictionary(a.dictionary(), b.dictionary());
    default:
      return a.IsSame(b);
  }
}

absl::Status AddEntry(Value key, Value value, std::vector<std::pair<Value, Value>>& entries) {
  const bool hashable =
      key.IsNone() || key.IsNumber() || key.IsText() ||
      (key.if_sequence() != nullptr && key.sequence().kind == Sequence::Kind::kTuple);
  if (!hashable)
    return FailedPrecondition("a value of type {} cannot be the key of a dict", TypeName(key));
  for (auto& [other, old] : entries)
    if (Equal(other, key)) {
      old = std::move(value);
      return absl::OkStatus();
    }
  entries.emplace_back(std::move(key), std::move(value));
  return absl::OkStatus();
}

std::string_view TypeName(const Value& value) {
  switch (value.kind()) {
    case Value::Kind::kUndefined:
      return "Undefined";
    case Value::Kind::kNone:
      return "NoneType";
    case Value::Kind::kBool:
      return "bool";
    case Value::Kind::kInteger:
      return "int";
    case Value::Kind::kFloat:
      return "float";
    case Value::Kind::kText:
      return "str";
    case Value::Kind::kSequence:
      switch (value.sequence().kind) {
        case Sequence::Kind::kList:
          return "list";
        case Sequence::Kind::kTuple:
          return "tuple";
        case Sequence::Kind::kKeys:
          return "dict_keys";
        case Sequence::Kind::kValues:
          return "dict_values";
        case Sequence::Kind::kItems:
          return "dict_items";
        case Sequence::Kind::kRange:
          break;
      }
      return "range";
    case Value::Kind::kDictionary:
      return "dict";
    case Value::Kind::kNamespace:
      return "Namespace";
    case Value::Kind::kCallable:
      return "function";
    case Value::Kind::kIterator:
      return "generator";
    case Value::Kind::kLoop:
      break;
  }
  return "LoopContext";
}

}  // namespace quantfleet::jinja
