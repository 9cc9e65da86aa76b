#include "text/jinja/iterate.h"

#include "common/base/utf8.h"
#include "text/jinja/arguments.h"
#include "text/jinja/machine.h"

namespace quantfleet::jinja {
namespace {

// Of a list's elements, or a dictionary's keys.
class OfItems final : public Iterator {
 public:
  explicit OfItems(Value of) : of_(std::move(of)) {}
  absl::StatusOr<bool> Next(Machine& machine, Value& element) override {
    QF_RETURN_IF_ERROR(machine.budget().Take(1));
    if (at_ >= *LengthOf(of_)) return false;
    const Sequence* sequence = of_.if_sequence();
    element = sequence != nullptr ? sequence->items[at_] : of_.dictionary().entries[at_].first;
    ++at_;
    return true;
  }
  size_t nesting() const override { return of_.nesting() + 1; }

 private:
  Value of_;
  size_t at_ = 0;
};

class OfText final : public Iterator {
 public:
  explicit OfText(Value of) : of_(std::move(of)) {}
  absl::StatusOr<bool> Next(Machine& machine, Value& element) override {
    QF_RETURN_IF_ERROR(machine.budget().Take(1));
    if (at_ >= of_.bytes().size()) return false;
    const size_t size = CharacterBytes(of_.bytes().substr(at_));
    element = Value(Text{of_.text().marked.Slice(at_, at_ + size), of_.text().markup});
    at_ += size;
    return true;
  }

 private:
  Value of_;
  size_t at_ = 0;
};

class OfNothing final : public Iterator {
 public:
  absl::StatusOr<bool> Next(Machine&, Value&) override { return false; }
};

class Generator final : public Iterator {
 public:
  Generator(size_t nesting, std::function<absl::StatusOr<bool>(Machine&, Value&)> next)
      : nesting_(nesting), next_(std::move(next)) {}
  absl::StatusOr<bool> Next(Machine& machine, Value& element) override {
    QF_RETURN_IF_ERROR(machine.budget().Enter());
    absl::StatusOr<bool> more = next_(machine, element);
    machine.budget().Leave();
    return more;
  }
  size_t nesting() const override { return nesting_; }

 private:
  size_t nesting_;
  std::function<absl::StatusOr<bool>(Machine&, Value&)> next_;
};

}  // namespace

absl::StatusOr<std::shared_ptr<Iterator>> Iterate(const Value& of) {
  switch (of.kind()) {
    case Value::Kind::kUndefined:
      return std::make_shared<OfNothing>();
    case Value::Kind::kText:
      return std::make_shared<OfText>(of);
    case Value::Kind::kSequence:
    case Value::Kind::kDictionary:
      return std::make_shared<OfItems>(of);
    case Value::Kind::kIterator:
      return of.iterator();
    default:
      return FailedPrecondition("a value of type {} cannot be iterated", TypeName(of));
  }
}

absl::StatusOr<std::vector<Value>> Elements(Machine& machine, const Value& of) {
  if (const Sequence* sequence = of.if_sequence()) {
    QF_RETURN_IF_ERROR(machine.budget().Take(sequence->items.size()));
    return sequence->items;
  }
  QF_ASSIGN_OR_RETURN(const std::shared_ptr<Iterator> iterator, Iterate(of));
  std::vector<Value> elements;
  while (true) {
    Value element;
    QF_ASSIGN_OR_RETURN(const bool more, iterator->Next(machine, element));
    if (!more) return elements;
    elements.push_back(std::move(element));
  }
}

std::optional<size_t> LengthOf(const Value& of) {
  switch (of.kind()) {
    case Value::Kind::kUndefined:
      return 0;
    case Value::Kind::kText:
      return CountCharacters(of.bytes());
    case Value::Kind::kSequence:
      return of.sequence().items.size();
    case Value::Kind::kDictionary:
      return of.dictionary().entries.size();
    default:
      return std::nullopt;
  }
}

Value Generate(size_t nesting, std::function<absl::StatusOr<bool>(Machine&, Value&)> next) {
  return Value(
      std::shared_ptr<Iterator>(std::make_shared<Generator>(nesting + 1, std::move(next))));
}

}  // namespace quantfleet::jinja
